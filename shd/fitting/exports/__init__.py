"""The formats that a result can be exported to, one a file: its name, the files it makes, and how they are written.

- `source`   what is exported, with peaks and fixels computed once for all formats that need them
- `format`   what a format is
- others     one format each; `shd.fitting.export` lists them
"""
