"""The lab: the whole system on one machine, every emulated EC2 instance and every local server a live host.

`up` starts one supervisor (`daemon`), which keeps an emulated AWS API with its metadata service (`emulator`, `imds`)
and one systemd-nspawn host per running instance or declared server (`nspawn`), all of it inside one network namespace
(`network`) and one control group (`cgroup`). What should run is decided by a pure function (`model.reconcile`).
"""
