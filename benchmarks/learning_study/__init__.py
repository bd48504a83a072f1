"""What `benchmarks sample_efficiency` is made of: the boxes learned from, a cell, the tables, the figure."""
