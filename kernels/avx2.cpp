// 16 registers of 8 floats: two vectors make a row of lanes.
#define GATECAST_ISA avx2
#define GATECAST_VECTOR_BYTES 32
#define GATECAST_PANEL_ROWS 6
#define GATECAST_PRODUCT_D 4
#define GATECAST_PRODUCT_X 3
#include "table.hpp"
