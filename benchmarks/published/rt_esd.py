"""RT-ESD's convolution (Elaldi, Gerig and Dey, MIDL 2023): the whole sphere, a sparse recurrence, then conv3d."""

import torch
from jaxtyping import Float
from torch import Tensor

from benchmarks.published.shd_published import IsotropicKernel
from shd.graphs.hierarchy import Level

__all__ = ["RecurrentConvolution"]


class RecurrentConvolution(IsotropicKernel):
    """y = Σ_{k,r} T_k(L) S_r x W[k, r] by T_k = 2 L T_{k−1} − T_{k−2} with a sparse L, and conv3d."""

    laplacian: Tensor

    def __init__(self, level: Level, channels_in: int, channels_out: int, order: int = 5, size: int = 3) -> None:
        super().__init__(channels_in, channels_out, order, size)
        coordinates = level.laplacian.tocoo()
        places = torch.tensor([coordinates.row.tolist(), coordinates.col.tolist()])
        values = torch.tensor(coordinates.data, dtype=torch.get_default_dtype())
        matrix = torch.sparse_coo_tensor(places, values, coordinates.shape, check_invariants=True)
        self.register_buffer("laplacian", matrix.coalesce(), persistent=False)

    def forward(
        self, x: Float[Tensor, "batch vertex channel_in x y z"]
    ) -> Float[Tensor, "batch vertex channel_out x y z"]:
        """Return the convolved field."""
        batch, vertices, channels, *grid = x.shape
        terms = [x.transpose(0, 1).reshape(vertices, -1)]
        if len(self.weight) > 1:
            terms.append(torch.sparse.mm(self.laplacian, terms[0]))
        for _ in range(2, len(self.weight)):
            terms.append(2 * torch.sparse.mm(self.laplacian, terms[-1]) - terms[-2])
        maps = torch.stack([term.reshape(vertices, batch, channels, *grid) for term in terms], dim=2)
        y = self.spatial(maps.transpose(0, 1).reshape(batch * vertices, -1, *grid))
        return y.reshape(batch, vertices, -1, *grid)
