// 32 registers of 16 floats: one vector is a row of lanes.
#define GATECAST_ISA avx512
#define GATECAST_VECTOR_BYTES 64
#define GATECAST_PANEL_ROWS 28
#define GATECAST_PRODUCT_D 5
#define GATECAST_PRODUCT_X 5
#include "table.hpp"
