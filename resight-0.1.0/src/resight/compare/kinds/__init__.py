"""The methods of the comparison, a file for each way to compare; a module holds a tuple ``METHODS``, in the order of the rows."""
