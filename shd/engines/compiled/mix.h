// Channel mixing in the eigenbasis: out[λ] = Σ_r (S_r z[λ]) W_λ[r], W_λ[r] = Σ_k T_k(λ) W[k, r], S_r the sums over the
// voxels at the r-th distance. One eigenvalue at a time, its volume and its weights staying in the cache.
#pragma once
#include <algorithm>
#include <cstdlib>

#include "vectors.h"

namespace shd {

// A field of `channels` per voxel on the grid (batch, x, y, z); `halved`: it is stored once for each 2×2×2 voxels.
template <class T>
struct Field {
    T* data;  // (eigenvector, batch, x, y, z, channel)
    int64_t channels, halved;
};

struct Grid {
    int64_t batch, x, y, z;
    int64_t voxels() const { return batch * x * y * z; }
};

// Sums over the neighbours at each of the four distances, line by line of the volume of one eigenvector; what lies
// outside the volume counts as zero.
template <class T>
class NeighbourLines {
  public:
    NeighbourLines(const Field<const T>& field, const Grid& grid, int radii, T* memory)
        : field(field), grid(grid), radii(radii), count(grid.z * field.channels) {
        for (int i = 0; i < LINES; ++i) buffer[i] = memory + i * (count + SLACK);
    }
    static size_t memory_needed(const Grid& grid, int64_t channels) {
        return LINES * (grid.z * channels + SLACK);
    }
    // Whether the sums over a distance of zero are the field itself, which then need not be copied.
    bool direct() const { return !field.halved; }
    const T* centre(int64_t y) const { return line_of(at_x, y); }

    void start(const T* volume_data, int64_t batch, int64_t x) {
        volume = volume_data;
        at_batch = batch;
        at_x = x;
        if (radii > 1) {
            prepare(-1);
            prepare(0);
        }
    }
    // Write the sums of line y to out[r], r ≥ 1 where `direct`; lines must be asked for in order. Up to SLACK elements
    // beyond a line are overwritten.
    void line(int64_t y, T* const* out) {
        if (!direct()) std::memcpy(out[0], read(at_x, y, 6), count * sizeof(T));
        if (radii == 1) return;
        prepare(y + 1);
        using S = Simd<T>;
        const T *p = plane[(y + 2) % 3], *q = plane[y % 3], *n = plane[(y + 1) % 3];
        const T *pp = beside[(y + 2) % 3], *qq = beside[y % 3], *nn = beside[(y + 1) % 3];
        T *faces = buffer[8], *edges = buffer[9];
        int64_t whole = 0;
        for (; whole + S::lanes <= count; whole += S::lanes) {
            S::store(faces + whole, S::load(p + whole) + S::load(n + whole) + S::load(qq + whole));
            S::store(edges + whole, S::load(pp + whole) + S::load(nn + whole));
        }
        if (whole < count) {
            S::store(faces + whole, load(p, whole) + load(n, whole) + load(qq, whole));
            S::store(edges + whole, load(pp, whole) + load(nn, whole));
        }
        const int64_t c = field.channels, last = count - c;
        if (last == 0) {
            std::memcpy(out[1], faces, count * sizeof(T));
            std::memcpy(out[2], edges, count * sizeof(T));
            std::memset(out[3], 0, count * sizeof(T));
            return;
        }
        shifted<false, true>(out, q, faces, edges, 0, c);
        if (last > c) shifted<true, true>(out, q, faces, edges, c, last);
        shifted<true, false>(out, q, faces, edges, last, count);
    }

  private:
    static constexpr int LINES = 10;
    const Field<const T>& field;
    const Grid& grid;
    int radii;
    int64_t count, at_batch = 0, at_x = 0;
    const T* volume = nullptr;
    const T *plane[3] = {}, *beside[3] = {};  // three lines of the plane, and of the sum of the planes beside it
    T* buffer[LINES];                         // 3 + 3 for these, 2 to expand into, 2 at work

    // A whole vector of a line of the volume, which may end at the end of memory.
    typename Simd<T>::type load(const T* line, int64_t j) const {
        return load_partial<Simd<T>>(line + j, count - j);
    }
    template <bool LEFT, bool RIGHT>
    void shifted(T* const* out, const T* q, const T* faces, const T* edges, int64_t from, int64_t to) const {
        using S = Simd<T>;
        const int64_t c = field.channels;
        for (int64_t j = from; j < to; j += S::lanes) {
            typename S::type one = S::load(faces + j), two = S::load(edges + j), three = {};
            if (LEFT) {
                one += load(q, j - c);
                two += S::load(faces + j - c);
                three += S::load(edges + j - c);
            }
            if (RIGHT) {
                one += load(q, j + c);
                two += S::load(faces + j + c);
                three += S::load(edges + j + c);
            }
            S::store(out[1] + j, one);
            S::store(out[2] + j, two);
            S::store(out[3] + j, three);
        }
    }
    const T* line_of(int64_t x, int64_t y) const {
        return volume + ((at_batch * grid.x + x) * grid.y + y) * count;
    }
    // A line of the volume; zeros outside. One stored for 2×2×2 voxels is expanded into a buffer.
    const T* read(int64_t x, int64_t y, int slot) {
        const bool outside = x < 0 || y < 0 || x >= grid.x || y >= grid.y;
        if (!outside && !field.halved) return line_of(x, y);
        T* line = buffer[slot];
        if (outside) {
            std::memset(line, 0, count * sizeof(T));
            return line;
        }
        const int64_t c = field.channels;
        const T* half = volume + ((at_batch * (grid.x / 2) + x / 2) * (grid.y / 2) + y / 2) * (count / 2);
        for (int64_t z = 0; z < grid.z; ++z) std::memcpy(line + z * c, half + z / 2 * c, c * sizeof(T));
        return line;
    }
    void prepare(int64_t y) {
        using S = Simd<T>;
        const int turn = static_cast<int>((y + 3) % 3);
        plane[turn] = read(at_x, y, turn);
        if (!field.halved) prefetch(line_of(at_x + 2, y), count);  // volumes follow each other in memory
        const T *before = read(at_x - 1, y, 6), *after = read(at_x + 1, y, 7);
        T* sum = buffer[3 + turn];
        int64_t whole = 0;
        for (; whole + S::lanes <= count; whole += S::lanes)
            S::store(sum + whole, S::load(before + whole) + S::load(after + whole));
        if (whole < count) S::store(sum + whole, load(before, whole) + load(after, whole));
        beside[turn] = buffer[3 + turn];
    }
};

// sum[i][:] += Σ_k a[i·row + k·step]·b[k·depth_stride][:] over `depth` terms.
template <class P, int ROWS>
inline void accumulate(typename P::S::type (&sum)[ROWS][P::vectors], const typename P::T* a, int64_t row, int64_t step,
                       const typename P::T* b, int64_t depth_stride, int64_t depth) {
    using S = typename P::S;
    const typename P::T* base[(ROWS + 2) / 3];
    for (int i = 0; i < (ROWS + 2) / 3; ++i) base[i] = a + 3 * i * row;
    for (int64_t k = 0; k < depth; ++k) {
        typename S::type line[P::vectors];
#pragma GCC unroll 4
        for (int v = 0; v < P::vectors; ++v) line[v] = S::load(b + k * depth_stride + v * S::lanes);
#pragma GCC unroll 12
        for (int i = 0; i < ROWS; ++i) {
            const typename S::type factor = S::fill(base[i / 3][i % 3 * row + k * step]);
#pragma GCC unroll 4
            for (int v = 0; v < P::vectors; ++v) sum[i][v] += factor * line[v];
        }
    }
}

// Weights of all orders in panels of vectors: (order, panel, radius·channel_in, lane), zero-padded.
template <class P>
struct Panels {
    typedef typename P::T T;
    static constexpr int64_t width = P::width;
    static int64_t count(int64_t outputs) { return P::panels(outputs); }
    static size_t size(int64_t depth, int64_t outputs) { return depth * P::padded(outputs); }
    // weight (order, radius, in, out).
    static void pack(const T* weight, int64_t orders, int64_t radii, int64_t in, int64_t out, T* packed) {
        const int64_t depth = radii * in;
        for (int64_t k = 0; k < orders; ++k)
            for (int64_t p = 0; p < count(out); ++p)
                for (int64_t d = 0; d < depth; ++d)
                    for (int64_t j = 0; j < width; ++j) {
                        const int64_t o = p * width + j;
                        packed[((k * count(out) + p) * depth + d) * width + j] =
                            o < out ? weight[(k * depth + d) * out + o] : T(0);
                    }
    }
    // The transposed weight of the inputs `first` to `first` + `some`, which become the outputs.
    static void pack_transposed(const T* weight, int64_t orders, int64_t radii, int64_t in, int64_t out, int64_t first,
                                int64_t some, T* packed) {
        const int64_t depth = radii * out;
        for (int64_t k = 0; k < orders; ++k)
            for (int64_t p = 0; p < count(some); ++p)
                for (int64_t d = 0; d < depth; ++d)
                    for (int64_t j = 0; j < width; ++j) {
                        const int64_t i = p * width + j, r = d / out, o = d % out;
                        packed[((k * count(some) + p) * depth + d) * width + j] =
                            i < some ? weight[((k * radii + r) * in + first + i) * out + o] : T(0);
                    }
    }
};

// combined = Σ_k factors[k]·packed[k]
template <class T>
inline void combine(const T* packed, const T* factors, int64_t orders, size_t size, T* combined) {
    using S = Simd<T>;
    for (size_t j = 0; j < size; j += S::lanes) {  // arrays have SLACK elements more
        typename S::type sum = S::load(packed + j) * S::fill(factors[0]);
        for (int64_t k = 1; k < orders; ++k) sum += S::load(packed + k * size + j) * S::fill(factors[k]);
        S::store(combined + j, sum);
    }
}

// Lines of a group: the largest number whose sums stay in the second-level cache beside the weights.
inline int64_t lines_in_group(const Grid& grid, int64_t depth, int64_t target_rows) {
    const int64_t rows = std::max<int64_t>(MIX_ROWS, std::min<int64_t>(target_rows, 65536 / std::max<int64_t>(depth, 1)));
    return std::max<int64_t>(1, std::min(grid.y, rows / std::max<int64_t>(grid.z, 1)));
}

template <class T>
struct Mix {
    Grid grid;
    int64_t vertices, orders, radii, sources, outputs;
    Field<const T> source[2];
    const T* polynomials;  // (vertex, order)
    const T* weight;       // (order, radius, channel_in, channel_out), channels of the first source leading
    int64_t inputs() const { return source[0].channels + (sources > 1 ? source[1].channels : 0); }
};

template <class T>
inline const T* volume_of(const Field<const T>& field, const Grid& grid, int64_t vertex) {
    return field.data + vertex * (grid.voxels() / (field.halved ? 8 : 1)) * field.channels;
}

// The neighbour sums of a group of lines, of every source, ready to be multiplied.
template <class T>
class NeighbourGroup {
  public:
    const T* sums[2][4];  // (row, channel) each

    NeighbourGroup(const Mix<T>& mix, int64_t vertex, int64_t lines)
        : mix(mix), vertex(vertex),
          first(mix.source[0], mix.grid, mix.radii, line_memory<5>(mix, 0)),
          second(mix.source[mix.sources - 1], mix.grid, mix.radii, line_memory<6>(mix, mix.sources - 1)) {
        const int64_t rows = lines * mix.grid.z + MIX_ROWS;
        T* free_space = scratch<T, 4>(mix.radii * (rows * mix.inputs() + SLACK * mix.sources));
        for (int s = 0; s < mix.sources; ++s)
            for (int r = 0; r < mix.radii; ++r) {
                sums[s][r] = place[s][r] = free_space;
                free_space += rows * mix.source[s].channels + SLACK;
            }
    }
    void start(int64_t batch, int64_t x) {
        first.start(volume_of(mix.source[0], mix.grid, vertex), batch, x);
        if (mix.sources > 1) second.start(volume_of(mix.source[1], mix.grid, vertex), batch, x);
    }
    // Gather `lines` lines from y on; return how many rows that makes.
    int64_t gather(int64_t y, int64_t lines) {
        const int64_t rows = lines * mix.grid.z;
        for (int s = 0; s < mix.sources; ++s) {
            NeighbourLines<T>& source = s ? second : first;
            const int64_t c = mix.source[s].channels;
            for (int64_t i = 0; i < lines; ++i) {
                T* target[4];
                for (int r = 0; r < mix.radii; ++r) target[r] = place[s][r] + i * mix.grid.z * c;
                source.line(y + i, target);
            }
            if (!source.direct()) continue;
            sums[s][0] = source.centre(y);
            // products take whole tiles of rows: the last ones must not be read beyond the end of the field
            if (const int64_t beyond = rows % MIX_ROWS)
                std::memcpy(place[s][0], sums[s][0] + (rows - beyond) * c, beyond * c * sizeof(T));
        }
        return rows;
    }
    // The sums at one distance from `row` on, MIX_ROWS of which may be read.
    const T* from(int source, int radius, int64_t row, int64_t rows) const {
        if (row >= rows - rows % MIX_ROWS && sums[source][radius] != place[source][radius]) return place[source][radius] + (row - (rows - rows % MIX_ROWS)) * mix.source[source].channels;
        return sums[source][radius] + row * mix.source[source].channels;
    }

  private:
    const Mix<T>& mix;
    int64_t vertex;
    T* place[2][4];
    NeighbourLines<T> first, second;
    template <int PURPOSE>
    static T* line_memory(const Mix<T>& mix, int source) {
        return scratch<T, PURPOSE>(NeighbourLines<T>::memory_needed(mix.grid, mix.source[source].channels));
    }
};

// Sums over eigenvectors that a normalisation needs, so that it costs no pass of its own (Parseval). One thread's part.
template <class T>
struct Statistics {
    const T* mask;           // (voxel)
    T* voxel_power;          // (voxel, FOLDED) Σ over eigenvectors and channels of z²
    double *channel_power;   // (channel) Σ over eigenvectors and masked voxels of z²
    double *channel_total;   // (channel) the same of mode·z
};

// The mixing of one eigenvector's volume at work: P says how outputs lie in vectors.
template <class P>
struct VertexMix {
    typedef typename P::T T;
    typedef typename P::S S;
    const Mix<T>& mix;
    const NeighbourGroup<T>& group;
    const T* weights;                  // panels of this eigenvalue
    T* out;                            // (voxel, outputs)
    const Statistics<T>* statistics;   // or null
    int64_t depth;

    // ROWS rows of one panel, `kept` of which exist, from row `row` of a group of `rows` that starts at `voxel`.
    template <int ROWS>
    void multiply(int64_t panel, int64_t row, int64_t rows, int64_t kept, int64_t voxel,
                  typename S::type (&squares)[P::vectors], typename S::type (&totals)[P::vectors]) const {
        typename S::type sum[ROWS][P::vectors] = {};
        int64_t offset = 0;
        for (int r = 0; r < mix.radii; ++r)
            for (int s = 0; s < mix.sources; ++s) {
                const int64_t c = mix.source[s].channels;
                accumulate<P, ROWS>(sum, group.from(s, r, row, rows), c, 1, weights + (panel * depth + offset) * P::width,
                                    P::width, c);
                offset += c;
            }
        const int64_t left = mix.outputs - panel * P::width;
        T* target = out + (voxel + row) * mix.outputs + panel * P::width;
        for (int64_t i = 0; i < kept; ++i)
            for (int v = 0; v < P::vectors; ++v)
                store_partial<S>(target + i * mix.outputs + v * S::lanes, sum[i][v], left - v * S::lanes);
        if (!statistics) return;
        for (int64_t i = 0; i < kept; ++i) {  // lanes beyond the outputs are zero
            const typename S::type inside = S::fill(statistics->mask[voxel + row + i]);
            typename S::type power = {};
            for (int v = 0; v < P::vectors; ++v) {
                const typename S::type square = sum[i][v] * sum[i][v];
                power += square;
                squares[v] += inside * square;
                totals[v] += inside * sum[i][v];
            }
            const auto part = folded<T, sizeof(power)>(power);
            using Part = Simd<T, sizeof(part)>;
            T* place = statistics->voxel_power + (voxel + row + i) * FOLDED;
            Part::store(place, Part::load(place) + part);
        }
    }

    void multiply_group(int64_t rows, int64_t voxel, T mode) const {
        for (int64_t panel = 0; panel < P::panels(mix.outputs); ++panel) {
            typename S::type squares[P::vectors] = {}, totals[P::vectors] = {};
            for (int64_t row = 0; row < rows;) {
                const int64_t left = rows - row;
                if (left > MIX_ROWS * 2 / 3) {
                    multiply<MIX_ROWS>(panel, row, rows, std::min<int64_t>(MIX_ROWS, left), voxel, squares, totals);
                    row += MIX_ROWS;
                } else {
                    multiply<MIX_ROWS / 3>(panel, row, rows, std::min<int64_t>(MIX_ROWS / 3, left), voxel, squares, totals);
                    row += MIX_ROWS / 3;
                }
            }
            if (!statistics) continue;
            T lanes[2][P::width];
            for (int v = 0; v < P::vectors; ++v) {
                S::store(lanes[0] + v * S::lanes, squares[v]);
                S::store(lanes[1] + v * S::lanes, totals[v]);
            }
            for (int64_t c = 0; c < std::min<int64_t>(P::width, mix.outputs - panel * P::width); ++c) {
                statistics->channel_power[panel * P::width + c] += lanes[0][c];
                statistics->channel_total[panel * P::width + c] += mode * lanes[1][c];
            }
        }
    }
};

// One eigenvector's volume: out (voxel, outputs). `mode`: the sum of the eigenvector over the vertices.
template <class P>
void mix_vertex(const Mix<typename P::T>& mix, const typename P::T* packed, int64_t vertex, typename P::T* out,
                const Statistics<typename P::T>* statistics, typename P::T mode) {
    typedef typename P::T T;
    const Grid& grid = mix.grid;
    const int64_t depth = mix.radii * mix.inputs();
    const size_t size = Panels<P>::size(depth, mix.outputs);
    T* weights = scratch<T, 3>(size + SLACK);
    combine(packed, mix.polynomials + vertex * mix.orders, mix.orders, size, weights);
    const int64_t lines = lines_in_group(grid, depth, 96);
    NeighbourGroup<T> group(mix, vertex, lines);
    const VertexMix<P> work{mix, group, weights, out, statistics, depth};
    for (int64_t b = 0; b < grid.batch; ++b)
        for (int64_t x = 0; x < grid.x; ++x) {
            group.start(b, x);
            for (int64_t y = 0; y < grid.y; y += lines) {
                const int64_t rows = group.gather(y, std::min(lines, grid.y - y));
                work.multiply_group(rows, ((b * grid.x + x) * grid.y + y) * grid.z, mode);
            }
        }
}

}  // namespace shd
