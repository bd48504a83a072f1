"""One subject from scan to results, out of the parts of the other folders.

- `budget`   how long and with how large a network to fit on this machine
- `device`   where to compute
- `maps`     `shd maps`: scalar maps; `normalise` a result in one unit; `response_average` one response for a group
- `fit`      `shd.fit`: responses, training, inference, peaks
- `infer`    `shd.infer`: a trained network on another scan
- `track`    `shd.track`: streamlines along the fODFs, and their files
- `outputs`  the files of a result; `record` its run.json; `output_folder` where they appear whole
- `export`   a result in the formats of other programs, one a file of `exports`; `convert` from one to another
- `progress` how all this tells the outside what it is doing
"""
