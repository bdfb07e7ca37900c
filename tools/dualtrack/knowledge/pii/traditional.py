"""Traditional characters, and others of Hong Kong, Taiwan and Japan, for the simplified ones that rules have.

Windows have simplified characters when they were made plain (`characters`), so rules are written once. Hints for
Hyperscan are of bytes that are as they were: `either` writes them with all forms of each character.
"""

from __future__ import annotations

import re
from functools import cache

#: Groups of a simplified character and those that are written for it: all that OpenCC 1.4 makes that one of, for each
#: character in a rule. A test compares them with OpenCC.
FORMS = """
证証證 电電 话話 沪滬 云雲 辽遼 鲁魯 苏囌蘇 赣贛 晋晉 蒙懞濛矇 陕陝 闽閩 贵貴 粤粵 宁寧 琼瓊 军軍 职職
干乾幹榦 参蔘 后後 装裝 联聯 号號 码碼 驾駕 驶駛 执執 统統 护護 台檯臺颱枱 回迴 乡鄉 还還 银銀 储儲
记記 签簽籤 账賬 帐帳 户戶 设設 备備 识識 别別彆 会會 积積 强強 医醫 劳勞 历厤曆歷 门門 诊診 出齣 机機
总總 专專 线綫線 致緻 拨撥 系係繫 络絡 热熱 传傳 真眞 税稅 纳納 编編 钥鈅鑰 权權 确確 认認 杂雜 凑湊
货貨 表錶 经經 办辦 负負 责責 险險 请請 同衕 志誌 镇鎭鎮 栋棟 组組 桥橋 选選 标標 纬緯 欧歐 阳陽 马馬
诸諸 迟遲 孙孫 东東 宫宮 张張 刘劉 陈陳 杨楊 黄黃 赵趙 吴吳 周週 朱硃 胡衚鬍 罗羅 郑鄭 梁樑 谢謝 许許
韩韓 冯馮 邓鄧 于於 蒋蔣 余餘 叶葉 吕呂 沈瀋 卢盧 姜薑 钟鈡鍾鐘 谭譚 范範 贾賈 韦韋 邹鄒 闫閆 龙龍
贺賀 顾顧 龚龔 万萬 钱錢 严嚴 向嚮曏 汤湯 为為爲 单單 层層 楼樓 挂掛 学學 个個箇 准準 节節 动動 币幣
点點 与與 变變 修脩 扣釦 暂暫 现現 见見 处處 额額 价價 区區 数數 时時 费費
"""
_HAN = re.compile("[\u3400-\u9fff]")


@cache
def simplified() -> dict[str, str]:
    """Return the simplified character for each of the others."""
    return {other: it[0] for it in FORMS.split() for other in it[1:]}


@cache
def _forms() -> dict[str, str]:
    return {it[0]: it for it in FORMS.split()}


def either(text: str) -> bytes:
    """Return a pattern of bytes, without classes of Chinese characters, in which each one may have any of its forms."""
    return _HAN.sub(lambda it: _any(_forms().get(it[0], it[0])), text).encode()


def _any(forms: str) -> str:
    return forms if len(forms) == 1 else f"(?:{'|'.join(forms)})"
