"""Writes pickles of every kind that PyTorch saves, with the values that PyTorch loads from them, and hostile ones.

    pip install torch numpy
    python tests/make/pickles.py

golden/pickles/ has the files and their tensors (expected.json: dtype, shape, values as f32), under the keys that the
readers give them: nested keys joined by dots, without the wrapper `state_dict`. hostile/pickles/ has files to be
refused and their problem classes. They are harmless: the commands in them are `echo` and `exit`, and no reader runs
any. The files that PyTorch cannot save (older formats, big-endian ones) are put together here.
"""

import collections
import io
import json
import pathlib
import pickle
import shutil
import struct
import warnings
import zipfile

import torch

warnings.filterwarnings("ignore")
TESTS = pathlib.Path(__file__).resolve().parent.parent
GOLDEN, HOSTILE = TESTS / "golden" / "pickles", TESTS / "hostile" / "pickles"
for folder in (GOLDEN, HOSTILE):
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
EXPECTED, CASES = {}, []
LAYER = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_q"


def saved(value, **options):
    out = io.BytesIO()
    torch.save(value, out, **options)
    return out.getvalue()


def legacy(value, **options):
    return saved(value, _use_new_zipfile_serialization=False, **options)


def archive(records, folder="archive", compress=()):
    """A zip archive as torch.save writes it: stored, except for the records in `compress`."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file, warnings.catch_warnings():
        for name, data in records:
            info = zipfile.ZipInfo(f"{folder}/{name}")
            info.compress_type = zipfile.ZIP_DEFLATED if name in compress else zipfile.ZIP_STORED
            file.writestr(info, data)
    return out.getvalue()


def records(data):
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        return [(info.filename.split("/", 1)[1], file.read(info)) for info in file.infolist()]


def loaded(data, trusted=False):
    return torch.load(io.BytesIO(data), weights_only=not trusted, map_location="cpu")


def good(name, data, tensors):
    """A file and its tensors, by the keys that the readers give them."""
    (GOLDEN / name).write_bytes(data)
    rows = {}
    for key, tensor in tensors.items():
        kind = str(tensor.dtype).removeprefix("torch.")
        values = [] if tensor.is_complex() else tensor.detach().double().flatten().tolist() if kind != "float8_e8m0fnu" else []
        rows[key] = {"dtype": kind, "shape": list(tensor.shape), "values": values}
    EXPECTED[name] = rows


def bad(name, data, *classes, reason):
    (HOSTILE / name).write_bytes(data)
    CASES.append({"file": f"pickles/{name}", "acceptable_verdicts": list(classes), "severity": "refuse", "reason": reason})


def views():
    """Tensors that share one storage, with offsets and strides of every kind."""
    base = torch.arange(240, dtype=torch.float32)
    half = torch.arange(64).to(torch.bfloat16) / 8
    cube = base.view(4, 6, 10)
    return {
        "whole": base.view(12, 20),
        "rows": base.view(12, 20)[3:7],
        "columns": base.view(12, 20)[:, 5:9],
        "transposed": base.view(12, 20).t(),
        "steps": base.view(12, 20)[1::2, 2::3],
        "permuted": cube.permute(2, 0, 1),
        "permuted_part": cube[1:, ::2, 3:].permute(1, 2, 0),
        "diagonal": base[:100].view(10, 10).diagonal(),
        "overlapping": base[:20].unfold(0, 5, 2),
        "expanded": base[7:9].view(2, 1).expand(2, 6),
        "expanded_rows": base[20:24].view(1, 4).expand(3, 4),
        "scalar": base[17],
        "expanded_scalar": base[18].expand(4, 4),
        "one": base[100:101].view(1, 1).expand(1, 1),
        "empty": base[5:5],
        "empty_rows": base.view(12, 20)[:, 3:3].t(),
        "channels_last": torch.arange(72, dtype=torch.float16).view(2, 4, 3, 3).contiguous(memory_format=torch.channels_last),
        "half_transposed": half.view(8, 8).t(),
        "half_odd": half[1::2],
        "ones_axes": base[:12].view(3, 4).t().view(4, 1, 3, 1),
    }


def adapter():
    """A LoRA layer whose matrices are views of one storage: up transposed, down with an offset, alpha an element."""
    torch.manual_seed(0)
    store = torch.randn(200)
    return {
        f"{LAYER}.lora_up.weight": store[:64].view(2, 32).t(),
        f"{LAYER}.lora_down.weight": store[70:198].view(2, 64)[:, ::2],
        f"{LAYER}.alpha": torch.full((1,), 4.0).expand(1)[0],
    }


def big_endian(data):
    """The archive as a big-endian machine would have written it, for storages of `width` bytes per element."""
    out = []
    for name, content in records(data):
        if name.startswith("data/"):
            width = {0: 4, 1: 2, 2: 8, 3: 1}[int(name[5:])]
            content = b"".join(content[at : at + width][::-1] for at in range(0, len(content), width))
        out.append((name, b"big" if name == "byteorder" else content))
    return archive(out)


def short_text(text):
    return b"X" + struct.pack("<I", len(text)) + text.encode()


def storage(kind, key, count, extra=b""):
    return b"(" + short_text("storage") + f"ctorch\n{kind}\n".encode() + short_text(key) + short_text("cpu") + b"K" + bytes([count]) + extra + b"tQ"


def numbers(values):
    return b"(" + b"".join(b"J" + struct.pack("<i", value) for value in values) + b"t"


def tensor(kind="FloatStorage", key="0", offset=0, shape=(2, 3), strides=(3, 1), count=6, extra=b""):
    """The opcodes of `_rebuild_tensor_v2`."""
    return (
        b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage(kind, key, count, extra) + b"J" + struct.pack("<i", offset)
        + numbers(shape) + numbers(strides) + b"\x89ccollections\nOrderedDict\n)RtR"
    )


def state(*entries):
    return b"\x80\x02}(" + b"".join(short_text(key) + value for key, value in entries) + b"u."


def one(pickled, data=bytes(24), **options):
    return archive([("data.pkl", pickled), ("version", b"3"), ("data/0", data)], **options)


def write_good():
    tensors = views()
    good("views.pt", saved(tensors), loaded(saved(tensors)))
    good("views_legacy.pt", legacy(tensors), loaded(legacy(tensors)))
    good("adapter_views.pt", saved(adapter()), adapter())
    flat = {f"{LAYER}.lora_up.weight": torch.ones(32, 2), f"{LAYER}.lora_down.weight": torch.ones(2, 32)}
    wrapped = {
        "epoch": 3, "loss": 0.25, "done": True, "name": "x", "shape": torch.Size([2, 3]), "dtype": torch.bfloat16,
        "dtypes": [torch.float8_e4m3fn, torch.uint16, torch.complex64, torch.bool], "device": torch.device("cuda:0"),
        "layout": torch.strided, "set": {1, 2}, "z": 1 + 2j, "bytes": b"abc",
        "big": 1 << 80, "nothing": None, "state_dict": collections.OrderedDict(flat),
        "optimizer": {"state": {0: {"step": torch.tensor(7), "exp": [torch.zeros(2), torch.ones(1)]}}},
    }
    wrapped["state_dict"]._metadata = {"version": 1}
    inner = {**flat, "optimizer.state.0.step": torch.tensor(7), "optimizer.state.0.exp.0": torch.zeros(2), "optimizer.state.0.exp.1": torch.ones(1)}
    good("nested.pt", saved(wrapped), inner)
    good("nested_legacy.pt", legacy(wrapped), inner)
    good("wrapped_twice.pt", saved({"model": {"module": flat}, "dtype": torch.float16}), flat)
    keys = {1: torch.ones(1), True: torch.ones(1) * 2, "a.b": torch.ones(1) * 3, None: torch.ones(1) * 4, 2.5: torch.ones(1) * 5, (1, 2): torch.ones(1) * 6}
    # A dictionary's key 1 is its key True.
    good("keys.pt", saved(keys), {"1": keys[1], "a.b": keys["a.b"], "2": keys[None], "3": keys[2.5], "4": keys[(1, 2)]})
    shared = {"down": torch.arange(6.0).view(2, 3)}
    good("shared.pt", saved({"q": shared, "k": shared}), {"q.down": shared["down"], "k.down": shared["down"]})
    attributed, parameter = torch.arange(4.0), torch.nn.Parameter(torch.arange(3.0))
    attributed.note, parameter.note = "x", "y"
    rebuilt = {
        "parameter": torch.nn.Parameter(torch.arange(6.0).view(2, 3).t()), "frozen": torch.nn.Parameter(torch.ones(2), requires_grad=False),
        "buffer": torch.nn.Buffer(torch.ones(3)), "attributed": attributed, "parameter_with_state": parameter,
        "grad": torch.ones(2, requires_grad=True),
    }
    good("rebuilt.pt", saved(rebuilt), rebuilt)
    kinds = "float32 float64 float16 bfloat16 float8_e4m3fn float8_e5m2 float8_e4m3fnuz float8_e5m2fnuz float8_e8m0fnu uint8 uint16 uint32 uint64 int8 int16 int32 int64 bool complex64".split()
    cast = lambda kind: torch.arange(1, 7).to(torch.float32).to(getattr(torch, kind))
    kinds = {kind: cast(kind).view(2, 3).t() for kind in kinds}
    good("dtypes.pt", saved(kinds), kinds)
    plain = {name: torch.arange(1, 7).to(getattr(torch, name)).view(2, 3).t() for name in ("float32", "bfloat16", "int64", "uint8")}
    swapped = big_endian(saved(plain))
    good("big_endian.pt", swapped, loaded(swapped))
    for protocol in range(1, 6):
        some = {"a": torch.arange(6.0).view(2, 3).t(), "b": {"c": torch.nn.Parameter(torch.ones(2))}}
        expect = {"a": some["a"], "b.c": some["b"]["c"]}
        good(f"protocol_{protocol}.pt", saved(some, pickle_protocol=protocol), expect)
        good(f"protocol_{protocol}_legacy.pt", legacy(some, pickle_protocol=protocol), expect)
    data = struct.pack("<6f", *range(6))
    # Python 2 gave OrderedDict its items as an argument.
    pairs = b"\x80\x02ccollections\nOrderedDict\n(](](" + short_text("a") + tensor() + b"ee" + b"tR."
    good("python_2.pt", one(pairs, data), loaded(one(pairs, data), trusted=True))
    # Before PyTorch 0.5, storages could be parts of others; an INST and an OBJ build dictionaries too.
    instance = b"\x80\x02(icollections\nOrderedDict\n" + short_text("a") + tensor(offset=1, shape=(2, 2), strides=(1, 3)) + b"s."
    good("instance.pt", one(instance, data), loaded(one(instance, data), trusted=True))
    thing = b"\x80\x02(ccollections\nOrderedDict\no" + short_text("a") + tensor(strides=(1, 2)) + b"s."
    good("object.pt", one(thing, data), loaded(one(thing, data), trusted=True))
    whole = pickle.dumps(torch.serialization.MAGIC_NUMBER, 2) + pickle.dumps(1001, 2) + pickle.dumps({}, 2)
    part = b"(" + short_text("7") + b"K\x02K\x03t"
    old = whole + state(("whole", tensor(extra=b"N")), ("part", tensor(shape=(3,), strides=(1,), extra=part))) + pickle.dumps(["0"], 2) + struct.pack("<q", 6) + data
    good("storage_parts_legacy.pt", old, loaded(old, trusted=True))
    twice = b"\x80\x02}(" + short_text("a") + tensor(shape=(1,), strides=(1,)) + short_text("a") + tensor() + b"u."
    good("key_twice.pt", one(twice, data), loaded(one(twice, data)))
    cpu = b"ctorch._utils\n_rebuild_device_tensor_from_cpu_tensor\n(" + tensor() + b"ctorch\nfloat32\n" + short_text("cpu") + b"\x89tR"
    good("device.pt", one(state(("a", cpu)), data), loaded(one(state(("a", cpu)), data)))
    (GOLDEN / "expected.json").write_text(json.dumps(EXPECTED, separators=(",", ":")).replace('},"', '},\n"') + "\n")


SYSTEM = b"cposix\nsystem\n"
RUN = SYSTEM + short_text("echo") + b"\x85R"


def unsafe(name, pickled, reason, **options):
    bad(f"unsafe_{name}.pt", one(pickled, **options), "unsafe_pickle", reason=reason)


def write_unsafe():
    ordered = b"\x80\x02ccollections\nOrderedDict\n)R"
    unsafe("build_attribute", ordered + b"}" + short_text("hook") + SYSTEM + b"sb.", "An attribute that BUILD sets is posix.system.")
    unsafe("build_slots", ordered + b"N}" + short_text("hook") + b"cshelve\nopen\ns\x86b.", "A slot that BUILD sets is shelve.open.")
    unsafe("build_torch", ordered + b"}" + short_text("hook") + b"ctorch.serialization\nload\nsb.", "An attribute that BUILD sets is torch.load.")
    unsafe("build_function", b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\nN}" + short_text("__code__") + b"Ns\x86b.", "BUILD replaces the code of a rebuild function.")
    unsafe("behind_unknown", b"\x80\x02cmine\nThing\n)\x81}" + short_text("a") + RUN + b"sb.", "A dangerous global after an unknown one.")
    for number, name in enumerate(("torch.hub load", "torch load", "torch.storage _load_from_bytes", "torch.utils.cpp_extension load_inline", "torch._utils _import_dotted_name",
                                   "torch.ops load_library", "torch.package.package_importer PackageImporter", "torch._inductor.codecache compile_file", "torch.nn.functional os.system",
                                   "torch.utils._config_module ConfigModule.load_config", "torch.fx.graph_module reduce_graph_module", "torch nn.modules.linear.math.os")):
        unsafe(f"torch_{number}", b"\x80\x02c" + name.replace(" ", "\n").encode() + b"\n" + short_text("x") + b"\x85R.", f"{name}, of torch's own package.")
    unsafe("inst", b"(S'echo'\niposix\nsystem\n.", "INST calls posix.system.")
    unsafe("obj", b"\x80\x02(" + SYSTEM + short_text("echo") + b"o.", "OBJ calls posix.system.")
    unsafe("newobj_ex", b"\x80\x04" + SYSTEM + short_text("echo") + b"\x85}\x92.", "NEWOBJ_EX calls posix.system.")
    unsafe("escaped_unicode", b"\x80\x04V\\u0070osix\nVsyste\\u006d\n\x93" + short_text("echo") + b"\x85R.", "STACK_GLOBAL of escaped text.")
    unsafe("escaped_string", b"\x80\x04S'p\\x6fsix'\nS'syst\\145m'\n\x93" + short_text("echo") + b"\x85R.", "STACK_GLOBAL of escaped strings.")
    unsafe("memo", b"\x80\x04" + short_text("posix") + b"\x940" + short_text("system") + b"\x940h\x00h\x01\x93" + short_text("echo") + b"\x85R.", "STACK_GLOBAL of memoized text.")
    unsafe("computed", b"\x80\x04c_codecs\nencode\n" + short_text("posix") + b"\x85R" + short_text("system") + b"\x93.", "STACK_GLOBAL of a computed module.")
    unsafe("popped_mark", b"\x80\x02(0" + RUN + b".", "POP removes a MARK, as CPython does.")
    unsafe("broken_stack", b"\x80\x02000" + RUN + b".", "A stack underflow, then posix.system.")
    unsafe("second_pickle", state(("a", tensor())) + b"\x80\x02" + RUN + b".", "A pickle after the first one.")
    unsafe("persistent_id", b"\x80\x02(" + short_text("storage") + SYSTEM + b"tQ.", "posix.system in a persistent id.")
    unsafe("sys_modules", b"\x80\x02ccollections\n_sys.modules\n.", "sys.modules, reached through collections.")
    unsafe("compressed", b"\x80\x02" + RUN + b".", "The pickle is compressed.", compress=("data.pkl",))
    unsafe("after_1200_unknown", b"\x80\x02}(" + b"".join(b"cmine\nThing%d\n0" % number for number in range(1200)) + RUN + b".", "After 1,200 unknown globals.")
    whole = pickle.dumps(torch.serialization.MAGIC_NUMBER, 2) + pickle.dumps(1001, 2)
    bad("unsafe_system_info_legacy.pt", whole + b"\x80\x02" + RUN + b"." + state(("a", tensor())) + pickle.dumps([], 2), "unsafe_pickle", reason="posix.system in the third pickle.")
    bad("unsafe_second_legacy.pt", pickle.dumps({"a": 1}, 2) + b"\x80\x02" + RUN + b".", "unsafe_pickle", reason="No file of PyTorch; posix.system in the second pickle.")
    bad("unsafe_protocol_0.pt", b"cshutil\nrmtree\n(S'/nonexistent'\ntR.", "unsafe_pickle", reason="Protocol 0.")
    bad("unsafe_protocol_0_dict.pt", b"(dp0\nS'a'\np1\ncposix\nsystem\n(S'echo'\ntRs.", "unsafe_pickle", reason="Protocol 0, in a dictionary.")
    other = [("data.pkl", b"\x80\x02cmine\nThing\n."), ("extra.pkl", b"\x80\x02" + RUN + b".")]
    bad("unsafe_other_record.pt", archive(other), "unsafe_pickle", reason="posix.system in another record; an unknown global in the first.")


def write_bad():
    bad("extension.pt", one(b"\x80\x02\x82\x07)R."), "unknown_global", reason="A number of copyreg's registry.")
    bad("subclass.pt", one(b"\x80\x02cmine\nStateDict\n)R" + short_text("a") + tensor() + b"s."), "unknown_global", reason="A subclass of OrderedDict.")
    bad("odd_items.pt", one(b"\x80\x02}(" + short_text("a") + tensor() + short_text("b") + b"u."), "bad_pickle", reason="A key without a value.")
    bad("call_of_a_call.pt", one(b"\x80\x02" + tensor() + b")R."), "bad_pickle", reason="The call of a tensor.")
    bad("no_name.pt", one(b"\x80\x04K\x01K\x02\x93."), "unsafe_pickle", reason="STACK_GLOBAL of numbers.")
    axes = {"a": torch.ones([1] * 3002)}
    bad("axes_3002.pt", saved(axes), "bad_shape", reason="3,002 axes.")
    bad("axes_3002_legacy.pt", legacy(axes), "bad_shape", reason="3,002 axes.")
    header = json.dumps({"a": {"dtype": "F32", "shape": [1] * 3002, "data_offsets": [0, 4]}}).encode()
    bad("axes_3002.safetensors", struct.pack("<Q", len(header)) + header + bytes(4), "bad_shape", reason="3,002 axes.")
    coo = torch.eye(3).to_sparse()
    bad("sparse.pt", saved({"a": coo}), "unsupported_tensor", reason="A sparse tensor.")
    bad("sparse_csr.pt", saved({"a": torch.eye(3).to_sparse_csr()}), "unsupported_tensor", reason="A sparse tensor.")
    bad("meta.pt", saved({"a": torch.ones(2, device="meta")}), "unsupported_tensor", reason="A tensor without data.")
    bad("nested_tensor.pt", saved({"a": torch.nested.nested_tensor([torch.ones(2), torch.ones(3)])}), "unsupported_tensor", reason="A nested tensor.")
    bad("negated.pt", saved({"a": torch.view_as_complex(torch.ones(2, 2)).conj().imag}), "unsupported_tensor", reason="A lazily negated view.")
    quantized = torch.quantize_per_tensor(torch.ones(3), 0.5, 0, torch.qint8)
    bad("quantized.pt", saved({"a": quantized}), "bad_dtype", reason="A quantized tensor.")
    bad("complex128.pt", saved({"a": torch.ones(2, dtype=torch.complex128)}), "bad_dtype", reason="A dtype that safetensors does not have.")
    for name, options in {
        "offset": {"offset": 1}, "offset_huge": {"offset": 2**31 - 1}, "stride": {"strides": (4, 1)}, "stride_huge": {"strides": (2**31 - 1, 2**31 - 1)},
    }.items():
        bad(f"outside_{name}.pt", one(state(("a", tensor(**options)))), "truncated", reason="The last element is outside the storage.")
    long = lambda value: b"\x8a\x08" + struct.pack("<q", value)
    wide = tensor().replace(numbers((3, 1)), b"(" + long(2**62) + long(2**62) + b"t")
    bad("outside_overflow.pt", one(state(("a", wide))), "truncated", reason="Strides whose sum overflows.")
    far = tensor().replace(b"J" + struct.pack("<i", 0) + numbers((2, 3)), long(2**63 - 1) + numbers((2, 3)))
    bad("outside_far.pt", one(state(("a", far))), "truncated", reason="An offset that overflows in bytes.")
    bad("negative_stride.pt", one(state(("a", tensor(strides=(-3, 1))))), "bad_pickle", reason="A negative stride.")
    bad("strides_missing.pt", one(state(("a", tensor(strides=(1,))))), "bad_pickle", reason="Fewer strides than axes.")
    bad("storage_missing.pt", one(state(("a", tensor(key="9")))), "truncated", reason="No such storage.")
    part = b"(" + short_text("7") + b"K\x02K\x09t"
    bad("storage_part.pt", one(state(("a", tensor(shape=(3,), strides=(1,), extra=part)))), "truncated", reason="A part that extends past its storage.")
    bad("too_many_elements.pt", one(state(("a", tensor(shape=(2**31 - 1, 2**31 - 1), strides=(0, 0))))), "bad_shape", reason="Strides of 0, too many elements.")
    bad("expanded.pt", one(state(("a", tensor(shape=(60000, 60000), strides=(0, 0))))), "resource_bomb", reason="Strides of 0: 14 GB from 24 bytes.")
    many = b"\x80\x02}(" + short_text("x") + tensor(shape=(512, 512), strides=(0, 0)) + b"q\x01" + b"".join(short_text(f"{at}") + b"h\x01" for at in range(200)) + b"u."
    bad("expanded_often.pt", one(many), "resource_bomb", reason="200 megabytes from 24 bytes, in parts.")
    bad("contains_itself.pt", one(b"\x80\x02}q\x00" + short_text("a") + b"h\x00s" + short_text("b") + tensor() + b"s."), "resource_bomb", "bad_pickle", reason="A dictionary that contains itself.")
    laughs = b"\x80\x02}q\x00" + short_text("a") + tensor() + b"s0"
    for level in range(1, 40):
        laughs += b"}q" + bytes([level]) + b"(" + b"".join(short_text(f"{at}") + b"h" + bytes([level - 1]) for at in range(10)) + b"u0"
    bad("a_billion_keys.pt", one(laughs + b"h\x27."), "resource_bomb", reason="Each dictionary has the previous one ten times.")
    long_keys = b"\x80\x02}(" + short_text("k" * 1000) + b"}(" + tensor(shape=(1,), strides=(1,)) + b"q\x010" + b"".join(b"M" + struct.pack("<H", at) + b"h\x01" for at in range(20000)) + b"uu."
    bad("long_keys.pt", one(long_keys), "resource_bomb", reason="20,000 tensors under a key of 1,000 bytes.")
    same = b"\x80\x02}(" + short_text("a.b") + tensor(shape=(1,), strides=(1,)) + short_text("a") + b"}" + short_text("b") + tensor() + b"su."
    bad("key_twice.pt", one(same), "duplicate_key", reason="Two tensors under one key, nested and not.")
    plain = state(("a", tensor()))
    bad("byte_order.pt", archive([("data.pkl", plain), ("byteorder", b"middle"), ("data/0", bytes(24))]), "bad_zip", reason="An unknown byte order.")
    bad("record_twice.pt", archive([("data.pkl", plain), ("data/0", bytes(24)), ("data/0", bytes(24))]), "bad_zip", reason="Two records of one name.")
    (HOSTILE / "manifest.json").write_text(json.dumps({"files": CASES}, indent=1) + "\n")


write_good()
write_unsafe()
write_bad()
