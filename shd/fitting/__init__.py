"""One subject from scan to results, out of the parts of the other folders.

- `budget`   how long and with how large a network to fit on this machine
- `fit`      `shd.fit`: responses, training, inference, peaks
- `infer`    `shd.infer`: a trained network on another scan
- `outputs`  the files of a result, written as one folder that appears whole
"""
