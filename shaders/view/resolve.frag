// What was summed, as colours. defines: SHOW (0 the reconstruction, 1 levels of detail, 2 the difference from the picture)
#version 430
#include "view/palette.glsl"

layout(binding = 2) uniform sampler2D summed;
layout(binding = 3) uniform sampler2D picture;
uniform vec3 unseen;

out vec4 color;

const float COARSEST_LOD = 64.0;

void main() {
    ivec2 place = ivec2(gl_FragCoord.xy);
    vec4 sums = texelFetch(summed, place, 0);
#if SHOW == 1
    color = vec4(sums.a > 0.0 ? lod_color(COARSEST_LOD - sums.a) : unseen, 1.0);
#else
    vec3 seen = sums.a > 0.0 ? sums.rgb / sums.a : unseen;
#if SHOW == 2
    vec3 away = abs(seen - texelFetch(picture, place, 0).rgb);
    seen = heat_color(max(away.r, max(away.g, away.b)));
#endif
    color = vec4(seen, 1.0);
#endif
}
