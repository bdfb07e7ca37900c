"""What every part stands on: errors, files, processes, output, progress, waiting, paths. Knows nothing of this product's parts."""
