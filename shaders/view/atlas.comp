// One work group a patch: lays the patches side by side in a texture, premultiplied by the share of each texel that lies inside the
// image; `inside` of homunculus/report/reconstruction.py. Cells without a patch are zero: a filter reads beside a patch with weight
// zero, and zero times whatever the memory held need not be zero. defines: GROUP (threads), PATCH_SIZE, WARPED (1: a footprint per texel)
#version 430
#include "footprint.glsl"

layout(local_size_x = GROUP) in;

layout(std430, binding = 0) readonly buffer Plan { vec4 rows[]; };
layout(std430, binding = 1) readonly buffer Pixels { float pixels[]; };
layout(rgba32f, binding = 0) writeonly uniform image2D atlas;

uniform int patch_count;
uniform int cell_count;
uniform int columns;
uniform vec2 image_px;

void main() {
    int patch_index = int(gl_WorkGroupID.x + gl_WorkGroupID.y * gl_NumWorkGroups.x);
    if (patch_index >= cell_count) return;
    const int texels = PATCH_SIZE * PATCH_SIZE;
    ivec2 cell = ivec2(patch_index % columns, patch_index / columns) * PATCH_SIZE;
    for (int texel = int(gl_LocalInvocationIndex); texel < texels; texel += GROUP) {
        ivec2 place = ivec2(texel % PATCH_SIZE, texel / PATCH_SIZE);
        if (patch_index >= patch_count) {
            imageStore(atlas, cell + place, vec4(0.0));
            continue;
        }
#if WARPED
        int row = patch_index * texels + texel;
        Footprint own = unpack_footprint(rows[2 * row], rows[2 * row + 1]);
        vec2 middle = own.center;
#else
        Footprint own = unpack_footprint(rows[2 * patch_index], rows[2 * patch_index + 1]);
        vec2 offset = vec2(place) + 0.5 - 0.5 * float(PATCH_SIZE);
        vec2 middle = own.center + offset.x * own.right + offset.y * own.down;
#endif
        vec2 extent = max(abs(own.right) + abs(own.down), vec2(TINY));
        vec2 share = (clamp(middle + extent / 2.0, vec2(0.0), image_px) - clamp(middle - extent / 2.0, vec2(0.0), image_px)) / extent;
        int first = patch_index * 3 * texels + texel;
        vec3 color = vec3(pixels[first], pixels[first + texels], pixels[first + 2 * texels]);
        imageStore(atlas, cell + place, vec4(color, 1.0) * (share.x * share.y));
    }
}
