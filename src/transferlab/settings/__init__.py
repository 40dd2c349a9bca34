"""`conf/` -> `params.yaml`, what differs between two of them, and what a run will take."""
