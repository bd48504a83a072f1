"""The engine for CPUs: C++ kernels, compiled on the machine that runs them.

- `vectors.h`, `sphere.h`, `neighbours.h`, `mix.h`, `mix_gradient.h`, `pool.h`, `estimate.h`, `engine.cpp`
                the kernels
- `build`       compile once, keep the library in the user's cache
- `plan`        a block eigenbasis laid out as the kernels read it
- `library`     the kernels as functions of tensors
- `operations`  the same, differentiable
- `engine`      all of it as an `Engine`
- `estimate`    the first estimate of voxels and the rounds of the coherent one
"""
