/* Stands for the driver's library: CUDA starts where the kernel's module is loaded. */
#include <unistd.h>

int cuInit(unsigned int flags)
{
	return access("/sys/module/nvidia_uvm", F_OK) == 0 ? 0 : 100;
}

int cuGetErrorName(int error, const char **name)
{
	*name = error ? "CUDA_ERROR_NO_DEVICE" : "CUDA_SUCCESS";
	return 0;
}
