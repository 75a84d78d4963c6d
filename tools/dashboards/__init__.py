"""The Grafana dashboards: what they show is data, in one module a dashboard; `build` makes Grafana's JSON of it."""
