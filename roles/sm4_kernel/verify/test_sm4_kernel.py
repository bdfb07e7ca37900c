"""Every installed kernel has SM4, and the running one computes it right."""

from __future__ import annotations

from typing import Any

import pytest

# The example of GB/T 32907-2016, appendix A.1, asked of the kernel itself.
KNOWN_ANSWER = """
import socket
key = text = bytes.fromhex("0123456789abcdeffedcba9876543210")
with socket.socket(socket.AF_ALG, socket.SOCK_SEQPACKET) as cipher:
    cipher.bind(("skcipher", "ecb(sm4)"))
    cipher.setsockopt(socket.SOL_ALG, socket.ALG_SET_KEY, key)
    work, _ = cipher.accept()
    work.sendmsg_afalg([text], op=socket.ALG_OP_ENCRYPT)
    print(work.recv(16).hex())
"""


def test_every_kernel_has_the_cipher(host: Any, hostvars: dict[str, Any]) -> None:
    """Each kernel that could be booted next has SM4, as a module or built in."""
    if not hostvars["sm4_kernel_enabled"]:
        pytest.skip("sm4_kernel_enabled is false for this host")
    releases = host.check_output("ls /lib/modules").split()
    assert releases, "no kernel is installed"
    for release in releases:
        found = host.run(
            "grep -hs sm4_generic.ko %s %s", *(f"/lib/modules/{release}/modules.{n}" for n in ("dep", "builtin"))
        )
        assert found.stdout, f"kernel {release} lacks SM4"


def test_update_rebuilds_the_modules(host: Any, hostvars: dict[str, Any]) -> None:
    """DKMS has the modules on its list, so that the next kernel gets them, too."""
    if not hostvars["sm4_kernel_enabled"]:
        pytest.skip("sm4_kernel_enabled is false for this host")
    if host.run("command -v dkms").rc != 0:
        pytest.skip("this distribution's kernels have SM4 of their own")
    # `dkms status` reads the same, and takes five seconds for it on an emulated machine. Whether the modules are
    # installed for each kernel is the check above.
    found = host.run("cd /var/lib/dkms/dualtrack-sm4 && ls */source/dkms.conf kernel-*/module/*.ko")
    assert found.rc == 0, "dkms does not know of dualtrack-sm4"


def test_running_kernel_computes_the_standards_example(host: Any, hostvars: dict[str, Any]) -> None:
    """The example of GB/T 32907 comes out right."""
    if not hostvars["sm4_kernel_enabled"]:
        pytest.skip("sm4_kernel_enabled is false for this host")
    release = host.check_output("uname -r")
    if not host.file(f"/lib/modules/{release}").exists:
        pytest.skip("the running kernel is that of the machine around this container")
    said = host.check_output("python3 -c %s", KNOWN_ANSWER)
    assert said == "681edf34d206965e86b3e94f536e4246", f"the kernel says {said}"
