-- A dissector of docs/formats/hbtp.md for Wireshark and tshark:
--
--     tshark -X lua_script:tests/readers/hbtp.lua -r capture.pcap -d tcp.port==7000,hbtp -O hbtp
--
-- It reads every frame of both versions. What is COMPRESSED or ENCRYPTED stays opaque. As a frame does not say which version
-- its connection has, flag 20h is read as EXTRA, which version 1 does not write.
local hbtp = Proto("hbtp", "HBTP")

local opcodes = {
    [0x00] = "Ping", [0x01] = "Pong", [0x02] = "Close", [0x03] = "Hello", [0x04] = "Drain",
    [0x10] = "StateSync", [0x11] = "StateDelta", [0x12] = "StateSubscribe", [0x13] = "StateUnsubscribe",
    [0x20] = "HtipClone", [0x21] = "HtipPatchText", [0x22] = "HtipPatchAttr", [0x23] = "HtipRemove", [0x24] = "HtipBatch",
    [0x30] = "RpcCall", [0x31] = "RpcResponse", [0x32] = "RpcError", [0x33] = "RpcStreamStart", [0x34] = "RpcStreamChunk",
    [0x35] = "RpcStreamEnd", [0x36] = "RpcCancel", [0x40] = "ClientEvent", [0x41] = "ServerEvent", [0x50] = "BinaryBlob",
    [0x51] = "FileChunk", [0x60] = "AuthChallenge", [0x61] = "AuthResponse", [0x62] = "AuthSuccess", [0x63] = "AuthFailure",
    [0xff] = "Extended",
}
local extended = { [0x0150] = "BulkOffer", [0x0151] = "BulkHave", [0x0152] = "BulkEnd" }
local hello_tags = { [1] = "versions", [2] = "limits", [3] = "features", [4] = "needs", [5] = "codecs", [6] = "agent", [7] = "identity", [8] = "key", [9] = "token" }
local extra_tags = { [1] = "deadline" }

local COMPRESSED, ENCRYPTED, EXPECTS_RESPONSE, FINAL, HAS_CHECKSUM, EXTRA = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20
local HEADER = 8

local f = {
    opcode     = ProtoField.uint8("hbtp.opcode", "Opcode", base.HEX, opcodes),
    flags      = ProtoField.uint8("hbtp.flags", "Flags", base.HEX),
    compressed = ProtoField.bool("hbtp.flags.compressed", "COMPRESSED", 8, nil, COMPRESSED),
    encrypted  = ProtoField.bool("hbtp.flags.encrypted", "ENCRYPTED", 8, nil, ENCRYPTED),
    expects    = ProtoField.bool("hbtp.flags.expects_response", "EXPECTS_RESPONSE", 8, nil, EXPECTS_RESPONSE),
    final      = ProtoField.bool("hbtp.flags.final", "FINAL", 8, nil, FINAL),
    checked    = ProtoField.bool("hbtp.flags.has_checksum", "HAS_CHECKSUM", 8, nil, HAS_CHECKSUM),
    extra_flag = ProtoField.bool("hbtp.flags.extra", "EXTRA", 8, nil, EXTRA),
    sequence   = ProtoField.uint16("hbtp.sequence", "Sequence"),
    length     = ProtoField.uint32("hbtp.length", "Length of the payload"),
    payload    = ProtoField.bytes("hbtp.payload", "Payload"),
    checksum   = ProtoField.uint32("hbtp.checksum", "CRC-32C", base.HEX),
    method     = ProtoField.uint8("hbtp.method", "Method"),
    status     = ProtoField.uint16("hbtp.status", "Status"),
    text       = ProtoField.string("hbtp.text", "Text"),
    state      = ProtoField.uint32("hbtp.state", "State"),
    epoch      = ProtoField.uint64("hbtp.epoch", "Epoch", base.HEX),
    version    = ProtoField.uint64("hbtp.version", "Version"),
    credit     = ProtoField.uint32("hbtp.credit", "Credit"),
    data       = ProtoField.bytes("hbtp.data", "Data"),
    transfer   = ProtoField.uint32("hbtp.transfer", "Transfer"),
    crc        = ProtoField.uint32("hbtp.chunk.crc", "CRC-32C of the data", base.HEX),
    offset     = ProtoField.uint64("hbtp.chunk.offset", "Offset"),
    real       = ProtoField.uint16("hbtp.extended", "Extended opcode", base.HEX, extended),
    deadline   = ProtoField.uint32("hbtp.deadline", "Deadline, ms"),
    tag        = ProtoField.uint8("hbtp.field.tag", "Tag"),
    value      = ProtoField.bytes("hbtp.field.value", "Value"),
    lowest     = ProtoField.uint8("hbtp.hello.lowest", "Lowest version"),
    highest    = ProtoField.uint8("hbtp.hello.highest", "Highest version"),
    features   = ProtoField.uint32("hbtp.hello.features", "Features", base.HEX),
    limit_payload  = ProtoField.uint32("hbtp.hello.payload_max", "Longest payload"),
    limit_requests = ProtoField.uint32("hbtp.hello.requests_max", "Requests at a time"),
    limit_streams  = ProtoField.uint32("hbtp.hello.streams_max", "Streams at a time"),
    first_credit   = ProtoField.uint32("hbtp.hello.credit", "First credit"),
}
hbtp.fields = f
local malformed = ProtoExpert.new("hbtp.malformed", "The payload cannot be read", expert.group.MALFORMED, expert.severity.ERROR)
hbtp.experts = { malformed }

local function has(flags, bit_mask)
    return flags % (2 * bit_mask) >= bit_mask
end

-- Every payload reader gets the bytes of the payload as a range, and the tree; false: it cannot be read.
local function status_of(range, tree)
    if range:len() == 0 then return true end
    if range:len() < 4 then return false end
    tree:add_le(f.status, range(0, 2))
    if range:len() > 4 then tree:add(f.text, range(4)) end
    return true
end

local function fields_of(range, tree, names, known)
    local at, before = 0, -1
    while at < range:len() do
        if range:len() - at < 3 then return false end
        local tag, size = range(at, 1):uint(), range(at + 1, 2):le_uint()
        if size > range:len() - at - 3 or tag <= before then return false end
        local branch = tree:add(f.tag, range(at, 1))
        branch:append_text(" (" .. (names[tag] or "unknown") .. ")")
        local value = size > 0 and range(at + 3, size) or nil
        if not (value and known(tag, value, branch)) and value then branch:add(f.value, value) end
        at, before = at + 3 + size, tag
    end
    return true
end

local function hello_field(tag, value, tree)
    if tag == 1 and value:len() >= 2 then
        tree:add(f.lowest, value(0, 1))
        tree:add(f.highest, value(1, 1))
    elseif tag == 2 and value:len() >= 16 then
        tree:add_le(f.limit_payload, value(0, 4))
        tree:add_le(f.limit_requests, value(4, 4))
        tree:add_le(f.limit_streams, value(8, 4))
        tree:add_le(f.first_credit, value(12, 4))
    elseif (tag == 3 or tag == 4) and value:len() >= 4 then
        tree:add_le(f.features, value(0, 4))
    elseif tag == 6 then
        tree:add(f.text, value)
    else
        return false
    end
    return true
end

local function extra_field(tag, value, tree)
    if tag ~= 1 or value:len() < 4 then return false end
    tree:add_le(f.deadline, value(0, 4))
    return true
end

local function state_of(range, tree)
    if range:len() < 4 then return false end
    tree:add_le(f.state, range(0, 4))
    if range:len() > 4 then tree:add(f.data, range(4)) end
    return true
end

local function subscription_of(range, tree) -- with the version that the subscriber has, or without
    if range:len() ~= 4 and range:len() ~= 20 then return false end
    tree:add_le(f.state, range(0, 4))
    if range:len() == 20 then
        tree:add_le(f.epoch, range(4, 8))
        tree:add_le(f.version, range(12, 8))
    end
    return true
end

local readers = {
    [0x02] = status_of,
    [0x03] = function(range, tree) return fields_of(range, tree, hello_tags, hello_field) end,
    [0x04] = status_of,
    [0x10] = state_of, [0x11] = state_of, [0x12] = subscription_of, [0x13] = state_of,
    [0x30] = function(range, tree)
        if range:len() < 1 then return false end
        tree:add(f.method, range(0, 1))
        if range:len() > 1 then tree:add(f.data, range(1)) end
        return true
    end,
    [0x32] = status_of,
    [0x33] = function(range, tree)
        if range:len() < 8 then return false end
        tree:add(f.method, range(0, 1))
        tree:add_le(f.credit, range(4, 4))
        if range:len() > 8 then tree:add(f.data, range(8)) end
        return true
    end,
    [0x34] = function(range, tree)
        if range:len() < 4 then return false end
        tree:add_le(f.credit, range(0, 4))
        if range:len() > 4 then tree:add(f.data, range(4)) end
        return true
    end,
    [0x35] = status_of,
    [0x51] = function(range, tree)
        if range:len() < 16 then return false end
        tree:add_le(f.transfer, range(0, 4))
        tree:add_le(f.crc, range(4, 4))
        tree:add_le(f.offset, range(8, 8))
        if range:len() > 16 then tree:add(f.data, range(16)) end
        return true
    end,
    [0xff] = function(range, tree)
        if range:len() < 2 then return false end
        tree:add_le(f.real, range(0, 2))
        if range:len() > 2 then tree:add(f.data, range(2)) end
        return range(0, 2):le_uint() >= 0x100
    end,
}

-- What precedes a payload with EXTRA. Returns where the rest begins; nil: it cannot be read.
local function extra_of(range, tree)
    if range:len() < 2 then return nil end
    local size = range(0, 2):le_uint()
    if size > range:len() - 2 then return nil end
    if size > 0 and not fields_of(range(2, size), tree, extra_tags, extra_field) then return nil end
    return 2 + size
end

local function read_payload(opcode, flags, range, tree)
    if has(flags, COMPRESSED) or has(flags, ENCRYPTED) or not range then
        if range then tree:add(f.payload, range) end
        return true
    end
    local at = 0
    if has(flags, EXTRA) then
        at = extra_of(range, tree)
        if not at then return false end
    end
    if at == range:len() then return true end
    local rest = range(at)
    if not readers[opcode] then
        tree:add(f.payload, rest)
        return true
    end
    return readers[opcode](rest, tree)
end

local function frame_size(buffer, _, offset)
    local size = HEADER + buffer(offset + 4, 4):le_uint()
    if has(buffer(offset + 1, 1):uint(), HAS_CHECKSUM) then size = size + 4 end
    return size
end

local function frame(buffer, pinfo, root)
    local opcode, flags = buffer(0, 1):uint(), buffer(1, 1):uint()
    local sequence, length = buffer(2, 2):le_uint(), buffer(4, 4):le_uint()
    local name = opcodes[opcode] or string.format("opcode %02xh", opcode)
    local tree = root:add(hbtp, buffer(), string.format("HBTP %s, sequence %d, %d bytes", name, sequence, length))
    tree:add(f.opcode, buffer(0, 1))
    local bits = tree:add(f.flags, buffer(1, 1))
    for _, field in ipairs({ f.compressed, f.encrypted, f.expects, f.final, f.checked, f.extra_flag }) do
        bits:add(field, buffer(1, 1))
    end
    tree:add_le(f.sequence, buffer(2, 2))
    tree:add_le(f.length, buffer(4, 4))
    local payload = length > 0 and buffer(HEADER, length) or nil
    if not read_payload(opcode, flags, payload, tree) then
        if payload then tree:add(f.payload, payload) end
        tree:add_proto_expert_info(malformed)
    end
    if has(flags, HAS_CHECKSUM) then tree:add_le(f.checksum, buffer(HEADER + length, 4)) end
    pinfo.cols.protocol = "HBTP"
    pinfo.cols.info:append(string.format(" %s %d", name, sequence))
    return buffer:len()
end

function hbtp.dissector(buffer, pinfo, tree)
    dissect_tcp_pdus(buffer, tree, HEADER, frame_size, frame)
    return buffer:len()
end

DissectorTable.get("tcp.port"):add_for_decode_as(hbtp)
