"""The pools' watch: on-demand steps in while spot is short, zones without capacity are avoided, and spot comes back.

- `model`: what is seen, remembered, allowed and decided.
- `activities`: what AWS says of a failed launch; `belief`: when an answer is not believed.
- `decide`, with `fallback` (on-demand for spot) and `zones`: the decisions; pure.
- `api`: the AWS calls. `store`: state and journal on disk. `watch`: the loop that joins them.
- `costs` and `report`: money a day, and what the watch brought. `unit`: the systemd unit.
"""
