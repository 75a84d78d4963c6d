"""Holds any running server of Filo's services against the contract: `make contract TARGET=host:port`, or pytest.

Nothing here knows how a service is built. What is asked and what must be answered is data, one table a service
(`handles`, `relay`, `simulator`); `checks` turns the tables into checks; docs/contract.md says how to use them.
"""
