// The statistics of one level of an image's pyramid: a work group measures a tile of texels and writes four layers an
// image, premultiplied: opponent colours, their squares, oriented energy, ON and OFF contrast with the surround. The twin is
// bridge/twin/statistics.py.
// A thread measures ROWS texels below one another, so that what it reads of shared memory serves all of them.
// The third derivatives of a Gaussian are separable: first the Gaussian and its three derivatives along rows, then along columns.
// defines: TILE_WIDTH, GROUP_HEIGHT, ROWS, RADIUS and TAPS (RADIUS + 1 of vec4: the Gaussian and its derivatives at 0, 1, ...),
// STEERING (mat4: derivatives yyy, xyy, xxy, xxx to four directions)
#version 430

layout(local_size_x = TILE_WIDTH, local_size_y = GROUP_HEIGHT) in;

layout(binding = 0) uniform sampler2DArray pyramid;
layout(rgba32f, binding = 0) writeonly uniform image2DArray statistics;

uniform int level;
uniform int surround;  // the level that is the surround
uniform ivec2 inside;  // (width, height) of the part of the level that the image reaches

const ivec2 TILE = ivec2(TILE_WIDTH, ROWS * GROUP_HEIGHT);
const ivec2 SIDE = TILE + 2 * RADIUS;
const float TINY = 1e-30;
const vec4 taps[RADIUS + 1] = TAPS;
const mat4 steering = STEERING;

shared float intensity[SIDE.y][SIDE.x];
shared vec4 along_rows[SIDE.y][TILE.x];

vec3 opponent(vec4 texel) {
    vec3 rgb = texel.rgb / max(texel.a, TINY);
    return vec3((rgb.r + rgb.g + rgb.b) / 3.0 - 0.5, rgb.r - rgb.g, rgb.b - 0.5 * (rgb.r + rgb.g));
}

// Between texel centres only: beyond the outermost one its own colour goes on.
float surround_intensity(ivec3 texel) {
    vec2 half_texel = 0.5 / vec2(textureSize(pyramid, surround).xy);
    vec2 point = (vec2(texel.xy) + 0.5) / vec2(textureSize(pyramid, level).xy);
    return opponent(textureLod(pyramid, vec3(clamp(point, half_texel, 1.0 - half_texel), texel.z), float(surround))).x;
}

void measure(ivec3 place, vec4 response) {
    vec4 texel = texelFetch(pyramid, place, level);
    vec3 color = opponent(texel);
    vec4 energy = response * response;
    float contrast = color.x - surround_intensity(place);
    float alpha = texel.a;
    ivec3 layer = ivec3(place.xy, 4 * place.z);
    imageStore(statistics, layer, vec4(color * alpha, alpha));
    imageStore(statistics, layer + ivec3(0, 0, 1), vec4(color * color * alpha, alpha));
    imageStore(statistics, layer + ivec3(0, 0, 2), vec4(energy.xyz * alpha, alpha));
    imageStore(statistics, layer + ivec3(0, 0, 3), vec4(vec3(energy.w, max(contrast, 0.0), max(-contrast, 0.0)) * alpha, alpha));
}

void main() {
    ivec2 id = ivec2(gl_LocalInvocationID.xy);
    ivec2 corner = ivec2(gl_WorkGroupID.xy) * TILE;
    int image = int(gl_WorkGroupID.z);

    for (int y = id.y; y < SIDE.y; y += GROUP_HEIGHT) {
        for (int x = id.x; x < SIDE.x; x += TILE.x) {
            ivec2 texel = clamp(corner + ivec2(x, y) - RADIUS, ivec2(0), inside - 1);
            intensity[y][x] = opponent(texelFetch(pyramid, ivec3(texel, image), level)).x;
        }
    }
    barrier();
    for (int y = id.y; y < SIDE.y; y += GROUP_HEIGHT) {
        vec4 sum = intensity[y][id.x + RADIUS] * taps[0];
        for (int k = 1; k <= RADIUS; ++k) {
            float before = intensity[y][id.x + RADIUS - k];
            float after = intensity[y][id.x + RADIUS + k];
            sum += vec2(before + after, before - after).xyxy * taps[k];  // even and odd orders
        }
        along_rows[y][id.x] = sum;
    }
    barrier();
    vec4 column[ROWS + 2 * RADIUS];
    for (int y = 0; y < ROWS + 2 * RADIUS; ++y) {
        column[y] = along_rows[ROWS * id.y + y][id.x];
    }
    ivec2 size = imageSize(statistics).xy;
    for (int row = 0; row < ROWS; ++row) {
        vec4 third = column[row + RADIUS] * taps[0].wzyx;
        for (int k = 1; k <= RADIUS; ++k) {
            vec4 before = column[row + RADIUS - k];
            vec4 after = column[row + RADIUS + k];
            third += (before + vec4(-1.0, 1.0, -1.0, 1.0) * after) * taps[k].wzyx;
        }
        ivec2 place = corner + ivec2(id.x, ROWS * id.y + row);
        if (all(lessThan(place, size))) {
            measure(ivec3(place, image), steering * third);
        }
    }
}
