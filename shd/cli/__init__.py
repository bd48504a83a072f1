"""The `shd` program: one short file a command.

- `main`       the program, its errors and warnings as a user sees them
- `fit`        fODFs of a scan, by a network trained on it
- `infer`      a trained network on another scan
- `response`   response functions of a scan

What the commands share: `messages` (what is said), `progress_bar`, `results` (from output folder to last lines).
"""
