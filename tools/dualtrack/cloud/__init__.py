"""The cloud track: OpenTofu, the AWS provider, and the stacks under `terraform/stacks`.

`stack` is what others call. `tofu` runs the program, `opentofu` finds or builds it, `provider` finds the AWS provider;
`plan`, `diagnose` and `clock` are the decisions in between, and touch nothing outside this process.
"""
