"""How large the frames of an AV1 stream are, read from their headers without decoding anything.

Source: AV1 Bitstream & Decoding Process Specification, version 1.0.0 with errata 1; its sections are given as
"AV1 5.5".
"""

from dataclasses import dataclass

Size = tuple[int, int]
"""Width and height in pixels."""

_MOST_OBUS = 128
"""In one stream; a still picture has 2 or 3, each group of tiles has one. Source: choice, a bound on the work."""
_MOST_OBUS_OF_A_FILE = 4096
"""A grid of 256 tiles with alpha has 512 streams of 2 or 3. One takes 9 µs at most (Zen 5). Source: choice."""

_SEQUENCE_HEADER, _FRAME_HEADER, _FRAME, _REDUNDANT_FRAME_HEADER = 1, 3, 6, 7
"""obu_type: AV1 6.2.2."""
_KEY_FRAME, _SWITCH_FRAME = 0, 3
"""frame_type: AV1 6.8.2."""
_PER_FRAME = 2
"""SELECT_SCREEN_CONTENT_TOOLS and SELECT_INTEGER_MV, each frame decides for itself: AV1 section 3."""


class Bits:
    """Unsigned numbers of any width, the most significant bit first; past the end there is a ValueError."""

    def __init__(self, data: memoryview) -> None:
        self._data = data
        self._at = 0

    def read(self, count: int) -> int:
        """Return the next `count` bits as a number; 0 bits are 0."""
        end = self._at + count
        if end > 8 * len(self._data):
            raise ValueError("a header in it ends too early")
        last = (end + 7) // 8
        value = int.from_bytes(self._data[self._at // 8 : last]) >> (8 * last - end)
        self._at = end
        return value & ((1 << count) - 1)

    def take(self, count: int | None = None) -> memoryview:
        """Return the next `count` bytes, or all that are left, without a copy; only where a byte begins."""
        start = self._at // 8
        end = len(self._data) if count is None else start + count
        if end > len(self._data):
            raise ValueError("a part of it reaches beyond its end")
        self._at = 8 * end
        return self._data[start:end]

    def is_at_end(self) -> bool:
        """Whether everything was read."""
        return self._at >= 8 * len(self._data)


@dataclass(frozen=True)
class _Sequence:
    """What is needed of a sequence header to read how large a frame is."""

    size: Size
    most: Size  # that a frame with a size of its own can write down
    is_still: bool
    presentation_bits: int
    frame_id_bits: int
    screen_content_tools: int
    integer_mv: int


class Budget:
    """What may still be read of a file: a bound on the work for all of its images together.

    Args:
        size_bytes: of the file. Its images are at most twice as long, since the first frame of an animation may be
            an image as well.
    """

    def __init__(self, size_bytes: int) -> None:
        self._bytes = 2 * size_bytes
        self._obus = _MOST_OBUS_OF_A_FILE

    def spend(self, *, size_bytes: int = 0, obus: int = 0) -> None:
        """Take off what is about to be read; where that is too much there is a ValueError."""
        self._bytes -= size_bytes
        self._obus -= obus
        if self._bytes < 0:
            raise ValueError("its images are longer than the file")
        if self._obus < 0:
            raise ValueError("its images have too many parts")


def frame_sizes(stream: memoryview, budget: Budget) -> list[Size]:
    """Return the size of each frame in the data of one image, at least one.

    A frame may have a size of its own, which decoders do not hold against the sequence header. It is far
    inside the frame header and no still picture needs it, so the most that it can be is returned for it.

    Args:
        stream: the data, which is paid for.
        budget: pays for each OBU as it is read.

    Raises:
        ValueError: the headers are damaged, are too many, or there is no frame.
    Source:
        AV1 5.3, the OBUs in a row; all are read, since a decoder goes on until a frame is to be shown. That
        an image has one sequence header, if repeated: AV1 Image File Format 2.1.
    """
    bits = Bits(stream)
    header = stream[:0]
    sequence: _Sequence | None = None
    sizes: list[Size] = []
    for _ in range(_MOST_OBUS):
        if bits.is_at_end():
            break
        budget.spend(obus=1)
        kind, has_extension, has_size = bits.read(5) & 0xF, bits.read(1), bits.read(2) >> 1
        bits.read(8 * has_extension)
        content = bits.take(_leb128(bits) if has_size else None)
        if kind == _SEQUENCE_HEADER and sequence is None:
            header, sequence = content, _sequence(Bits(content))
        elif kind == _SEQUENCE_HEADER and content != header:
            raise ValueError("an image in it has two sequence headers")
        elif kind in {_FRAME_HEADER, _FRAME, _REDUNDANT_FRAME_HEADER}:
            if sequence is None:
                raise ValueError("a frame in it has no sequence header")
            sizes += _new_frame(Bits(content), sequence)
    if not bits.is_at_end():
        raise ValueError("an image in it has too many parts")
    if not sizes:
        raise ValueError("an image in it has no frame")
    return sizes


def _leb128(bits: Bits) -> int:
    """AV1 4.10.5: seven bits a byte, the lowest first, at most eight bytes."""
    value = 0
    for place in range(8):
        is_last = not bits.read(1)
        value |= bits.read(7) << 7 * place
        if is_last:
            return value
    raise ValueError("a length in it has no end")


def _sequence(bits: Bits) -> _Sequence:
    """AV1 5.5.1, sequence_header_obu, up to the last field that a frame header depends on."""
    bits.read(3 + 1)  # seq_profile, still_picture
    is_still = bool(bits.read(1))  # reduced_still_picture_header
    presentation_bits = frame_id_bits = 0
    if is_still:
        bits.read(5)  # seq_level_idx
    else:
        presentation_bits = _timing_and_operating_points(bits)
    width_bits, height_bits = bits.read(4) + 1, bits.read(4) + 1
    size = bits.read(width_bits) + 1, bits.read(height_bits) + 1
    if not is_still and bits.read(1):  # frame_id_numbers_present_flag
        frame_id_bits = bits.read(4) + bits.read(3) + 3  # idLen in AV1 5.9.2
    bits.read(3)  # use_128x128_superblock, enable_filter_intra, enable_intra_edge_filter
    screen_content_tools = integer_mv = _PER_FRAME
    if not is_still:
        bits.read(4)  # enable_interintra_compound, _masked_compound, _warped_motion, _dual_filter
        if bits.read(1):  # enable_order_hint
            bits.read(2)  # enable_jnt_comp, enable_ref_frame_mvs
        screen_content_tools = _PER_FRAME if bits.read(1) else bits.read(1)
        if screen_content_tools:
            integer_mv = _PER_FRAME if bits.read(1) else bits.read(1)
    most = 1 << width_bits, 1 << height_bits
    return _Sequence(size, most, is_still, presentation_bits, frame_id_bits, screen_content_tools, integer_mv)


def _timing_and_operating_points(bits: Bits) -> int:
    """AV1 5.5.1 to 5.5.5; return the width of frame_presentation_time, 0 where frames do not have it."""
    delay_bits = presentation_bits = 0
    if bits.read(1):  # timing_info_present_flag
        bits.read(32 + 32)  # num_units_in_display_tick, time_scale
        has_equal_intervals = bits.read(1)
        if has_equal_intervals:
            _skip_uvlc(bits)  # num_ticks_per_picture_minus_1
        if bits.read(1):  # decoder_model_info_present_flag
            delay_bits = bits.read(5) + 1
            bits.read(32 + 5)  # num_units_in_decoding_tick, buffer_removal_time_length_minus_1
            presentation_bits = bits.read(5) + 1
            if has_equal_intervals:
                presentation_bits = 0
    has_initial_delay = bits.read(1)
    for _ in range(bits.read(5) + 1):  # operating_points_cnt_minus_1
        bits.read(12)  # operating_point_idc
        if bits.read(5) > 7:  # seq_level_idx
            bits.read(1)  # seq_tier
        if delay_bits and bits.read(1):  # decoder_model_present_for_this_op
            bits.read(2 * delay_bits + 1)  # decoder_buffer_delay, encoder_buffer_delay, low_delay_mode_flag
        if has_initial_delay and bits.read(1):  # initial_display_delay_present_for_this_op
            bits.read(4)
    return presentation_bits


def _skip_uvlc(bits: Bits) -> None:
    """AV1 4.10.3; 32 zeros and more are refused, since decoders differ in where such a number ends."""
    for zeros in range(32):
        if bits.read(1):
            bits.read(zeros)
            return
    raise ValueError("a number in it has no end")


def _new_frame(bits: Bits, sequence: _Sequence) -> list[Size]:
    """AV1 5.9.2, uncompressed_header, up to frame_size_override_flag; [] where an earlier frame is shown again."""
    if sequence.is_still:
        return [sequence.size]
    if bits.read(1):  # show_existing_frame
        return []
    frame_type, is_shown = bits.read(2), bits.read(1)
    bits.read(sequence.presentation_bits if is_shown else 1)  # frame_presentation_time or showable_frame
    if not (frame_type == _SWITCH_FRAME or (frame_type == _KEY_FRAME and is_shown)):
        bits.read(1)  # error_resilient_mode
    bits.read(1)  # disable_cdf_update
    tools = bits.read(1) if sequence.screen_content_tools == _PER_FRAME else sequence.screen_content_tools
    if tools and sequence.integer_mv == _PER_FRAME:
        bits.read(1)  # force_integer_mv
    bits.read(sequence.frame_id_bits)
    has_own_size = frame_type == _SWITCH_FRAME or bits.read(1)  # frame_size_override_flag
    return [sequence.most if has_own_size else sequence.size]
