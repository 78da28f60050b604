"""Where everything lies, and how it is written: the workspace, part files, tables, runs, names for outputs."""
