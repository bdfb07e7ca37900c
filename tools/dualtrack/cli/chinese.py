"""The help of the top level in Chinese, for LANG=zh_CN, in the terms of docs/zh/glossary.md.

Everything else stays in English: options, messages, exit codes and the fields of documents.
"""

from __future__ import annotations

import re

SUMMARY = "在云端和本地两条轨道上运行大模型及私有知识库。"

PANELS = {
    "Start": "入门",
    "Tracks": "轨道",
    "Cloud and cost": "云与成本",
    "Models and knowledge": "模型与知识库",
    "Data": "数据",
    "Security and audit": "安全与审计",
    "Hosts": "主机",
    "Lab": "实验环境",
}

#: By the name of a command or group of the top level.
HELP = {
    "up": "在本机的实验环境中启动两条轨道，并完成配置和校验。再次运行不作任何更改。",
    "down": "停止两条轨道及实验环境。一条轨道失败不影响另一条。",
    "init": "生成站点的初始文件并检查：自有服务器的 facts.yml，真实 AWS 账户的 terraform.tfvars。",
    "status": "显示两条轨道：每台主机、是否响应、上次校验的时间。",
    "doctor": "检查本机缺少什么，并给出每一项的下一步。",
    "explain": "解释退出码、主机角色、Ansible 角色及其变量、主机声明文件的字段、栈的变量或告警。",
    "setup": "构建一次耗时的制品并在各检出目录间共享：OpenTofu、AWS provider、实验环境的镜像。",
    "cloud": "云端轨道：OpenTofu 的栈及其实例。",
    "local": "本地轨道：自有的服务器。",
    "verify": "按实际行为检查主机是否符合其角色的承诺。不符合时退出码为 1。",
    "play": "在已启动轨道的主机上运行 playbook，例如轮换密钥，或重做某个阶段。",
    "state": "将部署的状态存入一个密封文件：另一台控制端接手所需的全部内容。",
    "use": "选择命令在没有 --stack 时针对的栈；不带名称时显示当前的栈。",
    "ssh": "登录已启动轨道的主机（校验主机密钥），或在其上运行命令。",
    "logs": "显示已启动轨道的主机的 journal。--json 将每条记录输出为一行 JSON。",
    "events": "列出本控制端的记录：资源池决策、校验、紧急访问、轨道。",
    "drift": "比较声明与实际：OpenTofu、实时 API、主机检查。不作任何更改。",
    "inventory": "输出两条轨道的主机，来源为栈的输出、实时 API 和主机声明文件。",
    "failover": "选择由哪条轨道、哪些推理引擎应答。网关自动排除失效的引擎。",
    "pools": "GPU 资源池：竞价容量不足时按需回退。",
    "spot": "规划在何处、何时购买哪些 GPU，以及竞价实例节省多少。",
    "cost": "运行中站点的成本，以及自有服务器达到盈亏平衡的月请求数。",
    "tiers": "存储层级：成本、恢复时间、恢复时间预算；以及恢复操作。",
    "serving": "已启动轨道的网关后面的模型：推理引擎、API key、提问。",
    "kb": "私有知识库：导入去除个人信息的文档，并按权限检索。",
    "sync": "使一个知识库与另一个保持一致：rsync 传输完整版本，一步替换旧版本。",
    "writeback": "经 S3 将本地文档送往另一个知识库：清理、审核、密封、仅一次。",
    "pii": "查找并去除文本中的个人信息：身份证、银行卡、电话、密码。",
    "residency": "请求在何处应答：哪些已出境，以及国家数据库。",
    "store": "检查点：从 S3 到本机磁盘缓存，完整且经过校验；也可写入 S3。",
    "mirror": "气隙站点安装所需的全部内容，存于一块磁盘：已签名，每个文件一份。",
    "seal": "为接收者密封文件、目录和管道；解封、校验、更换密钥。",
    "unseal": "打开密封文件，- 表示 stdin。文件或目录要么完整出现，要么不出现；输入不变。",
    "keys": "`dualtrack seal` 的密钥：生成和显示；在保管人之间拆分秘密，并重新合成。",
    "access": "权限：一个人员与角色文件生成主机账户和 sudo 规则、检索库权限、Slurm 账户、Kubernetes 绑定。",
    "audit": "审计日志：哈希链（SM3），由用后即毁的密钥签名（SM2）；更改、删除或回退均可发现，root 也不例外。",
    "pki": "目录中的私有证书颁发机构：谁可以用什么身份连接检索库。",
    "fabric": "InfiniBand：线缆、宽度、速率、错误和子网管理器，与声明比较。",
    "lab": "实验环境：模拟的 AWS，其实例和您的服务器都是本机上的真实主机。",
    "drill": "在实验环境中演练：在负载下注入故障，并测量其影响。",
}


def breakable(text: str) -> str:
    """Return a text with a space after each mark of punctuation: rich breaks lines at spaces only."""
    return re.sub(r"([，；：。、])(?=.)", r"\1 ", text)
