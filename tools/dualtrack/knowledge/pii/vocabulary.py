"""Words that say what a value beside them is, in Chinese and English.

Chinese ones are in simplified characters: windows are made plain before words are looked for, and traditional
characters become simplified ones there (`traditional`). Words that are other ones in Hong Kong, Macao and Taiwan are
here as those characters make them: 身分證 is 身分证, 行動電話 ends with 电话.
"""

from __future__ import annotations

PLATES = "京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼"

SOLDIER = "军官证|士兵证|文职干部证|军人证"
#: The first characters of such a card; 3 and 6 are what 参 and 陆 are when they are made plain.
ARMS, ARMS_AS_DIGITS = "军士文兵警武海空后政装联", "36"
IDENTITY = "身份证|身分证|身份号码|身分号码|公民身份|驾驶证|驾驶执照|驾照|统一证号|hkid|identity[ _-]?card|id[ _-]?card"
PASSPORT = "护照|passport"
PERMIT = "台胞证|通行证|回乡证|入台证|还乡证"
RESIDENCE = "永久居留身份证|永久居留证|居留证"
CARD = (
    "银行卡|信用卡|储蓄卡|借记卡|金融卡|提款卡|签账卡|卡号|账号|帐号|账户|帐户|银行户口|户口号码|card"
    "|bank[ _-]?account|account[ _-]?no|account[ _-]?number|a/c[ _-]?no|acct[ _-]?no"
)
DEVICE = "imei|设备识别码|装置识别码"
FUND = "社保|社会保障|公积金|强积金|医保|健保|劳保|social[ _-]?security"
SSN = "ssn"
RECORD = "mrn|medical[ _-]?record|patient[ _-]?id"
PATIENT = "病历|住院|门诊|病案|就诊卡"
BIRTH = "出生|生日|date[ _-]?of[ _-]?birth|birth[ _-]?date|birthday|born|dob|d.o.b|d_o_b"
PHONE = (
    "电话|手机|座机|固话|市话|宅电|总机|专线|客服|致电|拨打|联系方式|联络方式|联系号码|联络号码|热线|传真|tel|phone|fax|mobile"
    "|hotline|telefax|whatsapp|contact[ _-]?no|contact[ _-]?number"
)
COMPANY = "信用代码|税号|纳税人识别号|统一编号|统编"
IBAN = "iban"
WECHAT = "微信|wechat|weixin"
QQ = "qq|扣扣"
LOGIN = (
    "密码|口令|授权码|密钥|金钥|令牌|权杖|通行码|password|passwd|passphrase|pwd|secret|token|api[ _-]?key"
    "|access[ _-]?key[ _-]?id|access[ _-]?key|private[ _-]?key"
)
#: What may follow such a word in a name: `tokens` are counted.
OF_LOGIN = r"(?:(?<!token)s|(?:[ _-]?(?:key|confirm(?:ation)?|hash|value|确认|哈希|杂凑)))?(?:[ _-]?[0-9]{1,2})?"
PERSON = (
    "姓名|名字|联系人|联络人|患者|病人|收件人|收货人|寄件人|户名|持卡人|法定代表人|经办人|负责人|被保险人|投保人|申请人"
    "|原告|被告|代理人"
)
TITLE = "先生|女士|小姐|同志"
ROADS = "路街巷弄道村镇乡"
#: What a number counts in an address; and what follows the first of these that makes it another number.
HOUSES, NOT_HOUSES = "号栋幢室弄组", "桥|线|机|令|字|选手|文件"
PLACE, POSITION = "坐标|座标|经纬度|位置|location|latitude|lat|gps", "coordinates|coordinate|position"
LATITUDE, LONGITUDE = "纬度|latitude|lat", "经度|longitude|lng|lon"
#: The most frequent family names; 5 and 6 are what 伍 and 陆 are when they are made plain.
FAMILY = (
    "(?:欧阳|司马|上官|诸葛|夏侯|皇甫|尉迟|公孙|慕容|司徒|令狐|端木|东方|南宫"
    "|[王李张刘陈杨黄赵吴周徐孙马朱胡郭何高林罗郑梁谢宋唐许韩冯邓曹彭曾肖田董袁潘于蒋蔡余杜叶程苏魏吕丁任沈姚卢姜崔钟谭汪范金石廖"
    "贾夏韦付方白邹孟熊秦邱江尹薛闫段雷侯龙史陶黎贺顾毛郝龚邵万钱严覃武戴莫孔向汤56])"
)
#: What a word may have behind it: `no.` and its like, also after the dot of a word that is short for another.
NO = (
    "(?:号码|编号|号|证号|账号|帐号|卡号|字号|证字号|(?:证)?统一编号|证号码|证明文件号码|执照号码"
    r"|\.?[ _-]?nos?\.?|\.?[ _-]?num(?:ber)?s?|[ _-]?id)?"
)
