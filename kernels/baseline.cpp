// Vectors of 4 floats: SSE2 with 16 registers, NEON with 32.
#define GATECAST_ISA baseline
#define GATECAST_VECTOR_BYTES 16
#if defined(__aarch64__)
#define GATECAST_PANEL_ROWS 6
#define GATECAST_PRODUCT_D 5
#define GATECAST_PRODUCT_X 4
#else
#define GATECAST_PANEL_ROWS 2
#define GATECAST_PRODUCT_D 3
#define GATECAST_PRODUCT_X 3
#endif
#include "table.hpp"
