// The picture as an eye sees it: at every place what is finer than the eye's cut-off there is filtered out, what is not stays. A place
// at which half a cycle of the cut-off is `side` pixels, b levels beyond what is shown there, is
//   up to b = -1/2 one tap, the picture itself;
//   from 0 to FEW four taps, 0.84 of a side apart, at the level of that side: where level 0, which nothing has filtered, has a share;
//   from ONE on one tap at a level coarser by BIAS, whose box and whose blend of two levels are filter enough.
// Between these the taps come together while the level grows. White noise beyond the cut-off loses 22 dB at every b > 0, enlarged 20 dB, a
// grating of half the cut-off's frequency 5 dB (docs/acuity.md). defines: SQUARES (1: level-0 pixels are shown enlarged, as squares)
#version 430
#include "view/camera.glsl"

layout(binding = 0) uniform sampler2DArray pyramid;
uniform vec2 scale;           // 1 / padded size
uniform float shown_lod;      // of the picture as it is shown to any eye
uniform float finest_lod;     // of the texture's level 0
uniform float side0_px;       // half a cycle of the cut-off where the eye looks, pixels
uniform float a_px;           // the eccentricity at which it has doubled
uniform int fixation_count;
uniform vec2 fixations[128];  // as many as canvas.py allows

out vec4 color;

const float APART = 0.42;
const float FEW = 0.35;
const float ONE = 0.75;
const float BIAS = 0.4;

vec4 tap(vec2 point, float side, float lod) {
#if SQUARES
    vec2 border = floor(point + 0.5);  // which the eye sees as wide as it sees anything
    point = border + clamp((point - border) / min(side, 1.0), vec2(-0.5), vec2(0.5));
#endif
    return textureLod(pyramid, vec3(point * scale, 0.0), lod - finest_lod);
}

void main() {
    vec2 point = to_image(gl_FragCoord.xy);
    float squared = 1e30;
    int j = 0;
    do {
        vec2 away = point - fixations[j];
        squared = min(squared, dot(away, away));
        j++;
    } while (j < fixation_count);
    float side = side0_px * (1.0 + sqrt(squared) / a_px);
    float beyond = log2(side) - shown_lod;
    float single = clamp((beyond - FEW) / (ONE - FEW), 0.0, 1.0);
    float lod = shown_lod + max(beyond, 0.0) + BIAS * single;
    float aside = APART * side * min(clamp(1.0 + 2.0 * beyond, 0.0, 1.0), sqrt(1.0 - single));
    int taps = aside > 0.0 ? 4 : 1;
    vec4 sum = vec4(0.0);
    int k = 0;
    do {  // asked afterwards: llvmpipe goes once through every loop, and once more where it asks first
        sum += tap(point + aside * (vec2(k & 1, k >> 1) * 2.0 - 1.0), side, lod);
        k++;
    } while (k < taps);
    color = vec4(sum.rgb / max(sum.a, float(taps) / 16.0), 1.0);
}
