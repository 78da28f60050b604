"""Runs pieces of work on Dask workers or in this process. The only place that knows Dask."""
