// Taps of a picture of which only some tiles are on the device, each on a page of its own: the fetch of footprint.glsl. A page is a
// tile with a rim, and its own half level, so that one look-up and one trilinear fetch are a tap. The table holds the tiles that the
// plan needs, each in a place of its own: nothing here goes round or branches. The same in bridge/tiles/pages.py and bridge/twin.

#define TILE_SHIFT 8
const float TILE_TEXELS = 256.0;
const float RIM_TEXELS = 2.0;
const float PAGE_TEXELS = 260.0;
const float LEVEL_SLACK = 1.0 / 1024.0;

// A level as the taps of one footprint look their tiles up.
struct TileGrid {
    int level;
    bool wanted;  // whether it is the level that the taps ask for
    float scale;  // texels a level-0 pixel
    ivec2 base;   // the tile that holds the plan's origin
    vec2 start;   // from that tile's corner to the origin, level-0 pixels
    vec2 first;   // tile of the picture, counted from base
    vec2 last;
};

TileGrid tile_grid(float lod) {
    int asked = int(lod + LEVEL_SLACK);
    int level = max(asked, finest_level);
    int shift = level + TILE_SHIFT;
    ivec2 base = ivec2(origin.x >> shift, origin.y >> shift);
    vec2 start = vec2(origin.x - (base.x << shift), origin.y - (base.y << shift));
    vec2 last = vec2((last_texel.x >> shift) - base.x, (last_texel.y >> shift) - base.y);
    return TileGrid(level, level == asked, exp2(-float(level)), base, start, -vec2(base), last);
}

// Premultiplied RGBA at `point`, level-0 pixels from `origin`. Where a tile is not on the device, its entry names one of a coarser level;
// what has no entry lies beyond the picture.
vec4 page_tap(TileGrid grid, sampler2DArray pages, vec2 point, float lod, inout float resident) {
    vec2 place = (grid.start + point) * grid.scale;  // texels of the level, from the corner of tile `base`
    vec2 steps = vec2(floor(place.x * (1.0 / TILE_TEXELS)), floor(place.y * (1.0 / TILE_TEXELS)));
    steps = clamp(steps, grid.first, grid.last);
    ivec2 tile = grid.base + ivec2(steps);
    int key = grid.level << 24 | tile.y << 12 | tile.x;
    ivec2 entry = table[int(uint(key) * uint(table_spread) >> uint(table_shift))];
    bool found = entry.x == key;
    int coarser = found ? entry.y >> 16 : 0;
    int inner = (1 << coarser) - 1;
    vec2 within = vec2(tile.x & inner, tile.y & inner) * TILE_TEXELS;
    place = (within + place - steps * TILE_TEXELS) * uintBitsToFloat(uint(127 - coarser) << 23u);  // 2^-coarser
    place = clamp(place, vec2(-1.0), vec2(TILE_TEXELS + 1.0));  // farther out the rim is empty
    resident += grid.wanted && coarser == 0 ? 1.0 : 0.0;
    vec3 texel = vec3((place + RIM_TEXELS) * (1.0 / PAGE_TEXELS), float(entry.y & 0xFFFF));
    vec4 value = textureLod(pages, texel, max(lod - float(grid.level + coarser), 0.0));
    return found ? value : vec4(0.0);
}
