"""How the performance benchmarks measure.

- `timing`     medians of repeated calls, and the memory that a call adds at its peak
- `floors`     what this machine can do at best, and how long a layer must take by that
- `precision`  the same function in double precision, and the distance from it
- `cases`      what a row of a table measures, and its measurement
- `tables`     rows as markdown
- `baselines`  stored results of this machine, and how today's compare with them
- `entry`      options and course of every such benchmark
- `program`    what any benchmark says of a mistake
"""
