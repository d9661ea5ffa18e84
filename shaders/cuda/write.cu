// Blocks of texels of four bytes, packed one after another, to where they stand in the levels of a pyramid.
#define GROUP 256

struct Block {
    int level, layer, top, left;
    int height, width;
    int first;  // of its texels in what is packed, in words
    int unused;
};

struct EveryLevel {
    cudaSurfaceObject_t level[16];
};

// packed: the blocks' heads, then their texels. A row of thread blocks each, as many as the largest needs at most.
extern "C" __global__ void __launch_bounds__(GROUP) write_blocks(const unsigned int* packed, const __grid_constant__ EveryLevel levels) {
    Block block = ((const Block*)packed)[blockIdx.x];
    const unsigned int* texels = packed + block.first;
    for (int i = (int)(blockIdx.y * GROUP + threadIdx.x); i < block.height * block.width; i += (int)gridDim.y * GROUP) {
        int row = i / block.width;
        surf2DLayeredwrite(
            texels[i], levels.level[block.level], (block.left + i - row * block.width) * 4, block.top + row, block.layer
        );
    }
}
