#!/usr/bin/env python3
"""Two ranks that meet as an engine's do, in the unit that engines run in: NCCL's bootstrap, and a sum by Gloo.

Without words it starts both ranks and ends with 1 where they do not come together. NCCL goes as far as it can without a
GPU: it chooses the address where ranks meet, and listens there. Gloo is the one of jaxlib, whose TCP is PyTorch's.
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import subprocess
import sys
import sysconfig
from pathlib import Path

PACKAGES = Path(sysconfig.get_paths()["purelib"])
RANKS = 2
#: x86-64 and arm64 number it alike (https://man7.org/linux/man-pages/man2/pidfd_getfd.2.html).
PIDFD_GETFD = 438
#: Each rank gives its number plus one.
SUM = """
module @sum attributes {mhlo.num_partitions = 1 : i32, mhlo.num_replicas = 2 : i32} {
  func.func public @main() -> tensor<ui32> {
    %rank = stablehlo.replica_id : tensor<ui32>
    %one = stablehlo.constant dense<1> : tensor<ui32>
    %mine = stablehlo.add %rank, %one : tensor<ui32>
    %all = "stablehlo.all_reduce"(%mine) <{replica_groups = dense<[[0, 1]]> : tensor<1x2xi64>}> ({
    ^bb0(%a: tensor<ui32>, %b: tensor<ui32>):
      %both = stablehlo.add %a, %b : tensor<ui32>
      stablehlo.return %both : tensor<ui32>
    }) : (tensor<ui32>) -> tensor<ui32>
    return %all : tensor<ui32>
  }
}"""


def nccl_meeting_place() -> tuple[str, int]:
    """Return the address and port at which NCCL's first rank waits for the others."""
    library = ctypes.CDLL(str(PACKAGES / "nvidia/nccl/lib/libnccl.so.2"))
    unique = ctypes.create_string_buffer(128)
    if code := library.ncclGetUniqueId(unique):
        raise SystemExit(f"ncclGetUniqueId answers {code}")
    # After a magic number of eight bytes a struct sockaddr_in: family, port, address.
    return socket.inet_ntoa(unique.raw[12:16]), int.from_bytes(unique.raw[10:12], "big")


def gloo_sum(rank: int, coordinator: str) -> int:
    """Return the sum of all ranks' numbers plus one, taken over the interface that PyTorch would take."""
    import numpy
    from jaxlib import _jax, xla_client

    service = _jax.get_distributed_runtime_service(coordinator, RANKS) if rank == 0 else None
    client = _jax.get_distributed_runtime_client(coordinator, rank, init_timeout=60)
    client.connect()
    gloo = _jax.make_gloo_tcp_collectives(client, None, os.environ.get("GLOO_SOCKET_IFNAME"))
    backend = xla_client.make_cpu_client(
        asynchronous=True, distributed_client=client, node_id=rank, num_nodes=RANKS, collectives=gloo, num_devices=1
    )
    options = xla_client.CompileOptions()
    options.num_replicas = RANKS
    devices = tuple(backend.devices())
    options.device_assignment = xla_client.DeviceAssignment.create(numpy.array([[it.id] for it in devices]))
    program = backend.compile_and_load(SUM, _jax.DeviceList(devices), options)
    found = int(numpy.asarray(program.execute_sharded([]).disassemble_into_single_device_arrays()[0][0]))
    client.shutdown()
    del service
    return found


def refused_call() -> int:
    """Return the error of a system call that the unit does not allow; it must not end the process."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall(PIDFD_GETFD, -1, 0, 0)
    return ctypes.get_errno()


def main(words: list[str]) -> None:
    """Run a rank, or all of them."""
    if words:
        print("sum", gloo_sum(int(words[0]), words[1]), flush=True)
        return
    if refused_call() != errno.EPERM:
        raise SystemExit(f"pidfd_getfd ends with error {refused_call()}, and not with {errno.EPERM}")
    where = nccl_meeting_place()
    with socket.create_connection(where, timeout=10):
        print(f"NCCL's ranks meet at {where[0]}", flush=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        coordinator = f"127.0.0.1:{free.getsockname()[1]}"
    ranks = [
        subprocess.Popen([sys.executable, __file__, str(it), coordinator], stdout=subprocess.PIPE, text=True)
        for it in range(RANKS)
    ]
    # Gloo says on stdout, too, to how many it is connected.
    said = [it.communicate(timeout=120)[0].splitlines()[-1:] for it in ranks]
    if said != [["sum 3"]] * RANKS:
        raise SystemExit(f"Gloo's ranks say {said}")
    print("Gloo's ranks have summed", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
