"""The command line: thin; every command calls the Python API of the same name."""
