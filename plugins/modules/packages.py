#!/usr/bin/python
"""Whether packages are installed, asked of the system's own list of them."""

from __future__ import annotations

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
module: packages
short_description: install packages where they are missing
description:
  - Installs those packages that are missing, by the system's package manager (the fact C(pkg_mgr)), which reads its
    lists anew first. A host that has them all is only asked what is installed; C(apt) would read the whole archive's
    index first, which takes half a second.
  - On its own the module answers whether all of them are installed; the action plugin of this name does the rest.
options:
  names:
    description: packages, by the names that the package manager knows them by
    type: list
    elements: str
    required: true
  recommends:
    description: whether C(apt) goes by the host's settings for recommended packages; false installs none of them
    type: bool
    default: false
"""
EXAMPLES = """
- name: Install what the guard runs on
  dualtrack.site.packages:
    names: [python3, python3-boto3]
"""
RETURN = """
there:
  description: whether all of them were installed before
  type: bool
  returned: always
"""


def installed(module: AnsibleModule, names: list[str]) -> bool:
    """Return whether all are installed; False where only the package manager can tell (a name with a version)."""
    if not names:
        return True
    query = module.get_bin_path("dpkg-query")
    if query is None:
        return False
    # It prints a line for each package that it knows, and fails for one that it does not know.
    code, out, _ = module.run_command([query, "--show", "--showformat=${db:Status-Status}\\n", *names])
    return code == 0 and set(out.split()) == {"installed"}


def main() -> None:
    """Say whether the packages are installed."""
    module = AnsibleModule(
        {"names": {"type": "list", "elements": "str", "required": True}, "recommends": {"type": "bool"}},
        supports_check_mode=True,
    )
    module.exit_json(changed=False, there=installed(module, module.params["names"]))


if __name__ == "__main__":
    main()
