"""`params.yaml` as checked records, one module per section."""
