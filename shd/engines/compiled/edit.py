from pathlib import Path
p = Path("neighbours.h"); s = p.read_text()
i = s.index("    // Of one voxel: itself, the sums over its"); j = s.index("// Lines of a group: the largest")
s = s[:i] + '''    // Of one voxel: itself, the sums over its neighbours in the plane across the line, at distances 1 and √2.
    template <class S>
    struct Across {
        typename S::type self, faces, edges;
    };
    template <class S>
    struct Lines {
        const T *before, *here, *after;  // in the plane
        const F *before_beside, *beside, *after_beside;
        // Of the voxel at element j; unless WHOLE, `left` numbers of it exist.
        template <bool WHOLE>
        inline __attribute__((always_inline)) Across<S> at(int64_t j, int64_t left) const {
            const auto load = [=](const auto* line) __attribute__((always_inline)) {
                return WHOLE ? get<S>(line + j) : load_partial<S>(line + j, left);
            };
            return {load(here), load(before) + load(after) + load(beside), load(before_beside) + load(after_beside)};
        }
    };
    template <class S>
    void write_line(int64_t y, T* const* out) const {
        const Lines<S> lines{read(at_x, y - 1),      read(at_x, y),     read(at_x, y + 1),
                             beside[(y + 2) % 3], beside[y % 3], beside[(y + 1) % 3]};
        const int64_t c = field.channels, whole = c / S::lanes * S::lanes;
        const auto write = [&](auto is_whole, int64_t j) {
            constexpr bool WHOLE = decltype(is_whole)::value;
            return field.halved ? write_channels<S, WHOLE, true>(lines, j, out) : write_channels<S, WHOLE, false>(lines, j, out);
        };
        // whole vectors are written: what goes beyond the channels is then written over by the first ones
        if (whole < c) write(std::false_type(), whole);
        for (int64_t j = 0; j < whole; j += S::lanes) write(std::true_type(), j);
    }
    // The channels from j on of a whole line.
    template <class S, bool WHOLE, bool HALVED>
    void write_channels(const Lines<S> lines, int64_t j, T* const* out) const {
        const int64_t c = field.channels, stride = field.stride(), last = length - 1, end = count;
        const bool copied = !direct();
        T *const self = out[0], *const one = out[1], *const two = out[2], *const three = out[3];
        // Beyond the channels are the next voxel's, up to the end of the line; where those would be multiplied, zeros.
        const auto left_at = [=](int64_t z) { return stride > c ? c - j : end - z * c - j; };
        const auto write = [=](const Across<S>& left, const Across<S>& here, const Across<S>& right,
                               int64_t at) __attribute__((always_inline)) {
            if (copied) put<S>(self + at, here.self);
            put<S>(one + at, here.faces + left.self + right.self);
            put<S>(two + at, here.edges + left.faces + right.faces);
            put<S>(three + at, left.edges + right.edges);
        };
        Across<S> left = {}, here = lines.template at<WHOLE>(j, left_at(0));
        for (int64_t z = 0; z <= last; ++z) {
            Across<S> right = {};
            if (z < last) right = lines.template at<WHOLE>((z + 1) * c + j, left_at(z + 1));
            if (HALVED) {
                write(left, here, here, 2 * z * stride + j);
                write(here, here, right, (2 * z + 1) * stride + j);
            } else {
                write(left, here, right, z * stride + j);
            }
            left = here;
            here = right;
        }
    }
};

''' + s[j:]
s = s.replace('''    const T* read(int64_t x, int64_t y) const {
        if (x < 0 || y < 0 || x >= grid.x || y >= grid.y) return outside;
        return volume + ((at_batch * (grid.x / side) + x / side) * (grid.y / side) + y / side) * count;
    }
''','''    const T* read(int64_t x, int64_t y) const {
        if (x < 0 || y < 0 || x >= grid.x || y >= grid.y) return outside;
        const int shift = field.halved ? 1 : 0;
        return volume + ((at_batch * (grid.x >> shift) + (x >> shift)) * (grid.y >> shift) + (y >> shift)) * count;
    }
''')
s = s.replace('''radii(radii), side(field.halved ? 2 : 1), length(grid.z / side),
          count''','''radii(radii), length(field.halved ? grid.z / 2 : grid.z),
          count''').replace("return side == 1 && field","return !field.halved && field").replace("int64_t side, length, count,","int64_t length, count,").replace('''        prefetch(read(at_x, y) + 2 * (grid.y / side) * count, count);  // volumes''','''        prefetch(read(at_x, y) + 2 * grid.y * count, count);  // volumes''')
p.write_text(s)
