"""Data that is carried around: checkpoints between S3 and hosts, and the mirror of an air-gapped site."""
