#version 430

flat in vec4 line_color;
flat in float half_px;
in float away_px;

out vec4 color;

void main() {
    color = vec4(line_color.rgb, line_color.a * clamp(half_px + 0.5 - abs(away_px), 0.0, 1.0));
}
