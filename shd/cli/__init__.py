"""The `shd` program: one short file a command.

- `main`       the program, its errors and warnings as a user sees them
- `response`   response functions of a scan
"""
