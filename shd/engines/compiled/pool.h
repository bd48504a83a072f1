// Change of resolution: weighted sums over 2×2×2 voxels, and their adjoint.
#pragma once
#include <algorithm>

#include "vectors.h"

namespace shd {

// coarse[v, b, x, y, z] = weight[b, x, y, z]·Σ fine over the side³ voxels that fall on it; `side` is 1 or 2.
template <class T>
struct Pooling {
    int64_t vertices, batch, x, y, z, channels, side;  // of the coarse field
    const Word<T>* weight;                                       // (batch, x, y, z)
    int64_t planes() const { return vertices * batch * x; }
    int64_t fine_line() const { return side * z * channels; }
    const Word<T>* weights(int64_t plane, int64_t row) const { return weight + ((plane % (batch * x)) * y + row) * z; }
    // Offset in the fine field of the i-th of side² lines that fall on line `row` of coarse plane (vertex, batch, x).
    int64_t fine(int64_t plane, int64_t row, int64_t i) const {
        return ((side * plane + i / side) * side * y + side * row + i % side) * fine_line();
    }
};

template <class T>
void pool_plane(const Pooling<T>& p, const T* fine, T* coarse, int64_t plane) {
    using S = Simd<Word<T>>;
    const int64_t count = p.fine_line(), c = p.channels;
    Word<T>* sum = scratch<Word<T>, 11>(count + SLACK);
    for (int64_t y = 0; y < p.y; ++y) {
        std::memset(sum, 0, count * sizeof(Word<T>));
        for (int64_t i = 0; i < p.side * p.side; ++i) {
            const T* line = fine + p.fine(plane, y, i);
            for (int64_t j = 0; j < count; j += S::lanes)
                S::store(sum + j, S::load(sum + j) + load_partial<S>(line + j, count - j));
        }
        T* target = coarse + (plane * p.y + y) * p.z * c;
        const Word<T>* weight = p.weights(plane, y);
        for (int64_t z = 0; z < p.z; ++z) {
            const typename S::type factor = S::fill(weight[z]);
            for (int64_t j = 0; j < c; j += S::lanes) {
                typename S::type value = S::load(sum + p.side * z * c + j);
                if (p.side == 2) value += S::load(sum + (2 * z + 1) * c + j);
                store_partial<S>(target + z * c + j, value * factor, c - j);
            }
        }
    }
}

template <class T>
void spread_plane(const Pooling<T>& p, const T* coarse, T* fine, int64_t plane) {
    using S = Simd<Word<T>>;
    const int64_t count = p.fine_line(), c = p.channels;
    T* line = scratch<T, 11>(count + SLACK);
    for (int64_t y = 0; y < p.y; ++y) {
        const T* source = coarse + (plane * p.y + y) * p.z * c;
        const Word<T>* weight = p.weights(plane, y);
        for (int64_t z = 0; z < p.side * p.z; ++z) {
            const typename S::type factor = S::fill(weight[z / p.side]);
            for (int64_t j = 0; j < c; j += S::lanes)  // what is written beyond the channels is written over
                put<S>(line + z * c + j, factor * load_partial<S>(source + z / p.side * c + j, c - j));
        }
        for (int64_t i = 0; i < p.side * p.side; ++i)
            std::memcpy(fine + p.fine(plane, y, i), line, count * sizeof(T));
    }
}

}  // namespace shd
