// A max-reduction pyramid over a map of any size: a work group of 16 x 16 threads reduces a 64 x 64 tile of level `base` by up to six
// levels. The map reads as zero beyond its last row and column, which pads it to powers of two. Levels from 1 on lie one behind the
// other in `levels`, each side half of the one before and at least 1; the twin is bridge/twin/max_pyramid.py.
#version 430

layout(local_size_x = 16, local_size_y = 16) in;

layout(std430, binding = 0) readonly buffer Map { float map[]; };
layout(std430, binding = 1) buffer Levels { float levels[]; };

uniform int base;         // the level this dispatch reads: the map, or one that an earlier dispatch wrote
uniform ivec2 map_size;   // (width, height) as given
uniform ivec2 base_size;  // (width, height) of level `base`, powers of two
uniform int base_offset;  // where level `base` starts in `levels`
uniform int next_offset;  // where level base + 1 starts
uniform int level_count;  // how many levels to write, 1..6

shared float tile[16][16];

float load(ivec2 texel) {
    if (base == 0) {
        return all(lessThan(texel, map_size)) ? map[texel.y * map_size.x + texel.x] : 0.0;
    }
    return all(lessThan(texel, base_size)) ? levels[base_offset + texel.y * base_size.x + texel.x] : 0.0;
}

void store(ivec2 texel, ivec2 size, int offset, float value) {
    if (all(lessThan(texel, size))) {
        levels[offset + texel.y * size.x + texel.x] = value;
    }
}

void main() {
    ivec2 id = ivec2(gl_LocalInvocationID.xy);
    ivec2 size = max(base_size >> 1, 1);
    int offset = next_offset;

    float block = 0.0;
    for (int i = 0; i < 4; ++i) {
        ivec2 cell = 2 * ivec2(gl_GlobalInvocationID.xy) + ivec2(i & 1, i >> 1);
        ivec2 texel = 2 * cell;
        float quad = max(max(load(texel), load(texel + ivec2(1, 0))), max(load(texel + ivec2(0, 1)), load(texel + ivec2(1, 1))));
        store(cell, size, offset, quad);
        block = max(block, quad);
    }
    for (int level = 2; level <= level_count; ++level) {
        offset += size.x * size.y;
        size = max(size >> 1, 1);
        int side = 64 >> level;  // cells of this level along a tile
        bool busy = all(lessThan(id, ivec2(side)));
        if (level > 2 && busy) {
            block = max(max(tile[2 * id.y][2 * id.x], tile[2 * id.y][2 * id.x + 1]),
                        max(tile[2 * id.y + 1][2 * id.x], tile[2 * id.y + 1][2 * id.x + 1]));
        }
        barrier();
        if (busy) {
            tile[id.y][id.x] = block;
            store(ivec2(gl_WorkGroupID.xy) * side + id, size, offset, block);
        }
        barrier();
    }
}
