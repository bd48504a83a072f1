"""The parts of `python -m benchmarks accuracy`.

- `problems`  phantom, protocol, SNR and seed: what is to be deconvolved
- `cells`     one method on one problem: scores and time, kept in a file, so that a killed run goes on
- `rows`      a method's median over the seeds, and how much of the gap to the ceiling it closes
- `output`    the table in the terminal, as Markdown, CSV and JSON
- `figure`    the same as a picture
"""
