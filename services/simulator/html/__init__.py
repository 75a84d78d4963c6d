"""The report of a run and of a suite as one HTML page that needs nothing but itself: no network, no other file.

`run.page` and `suite.page` are pure: a record in, a page out. Plots are drawn here, as SVG; the script of the page only
shows values under the pointer.
"""
