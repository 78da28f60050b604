from resight.run import Run
def write_accuracy(run: Run): return None
