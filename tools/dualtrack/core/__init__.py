"""What every part stands on: errors, files, processes, output, progress, waiting, paths, S3."""
