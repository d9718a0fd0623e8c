"""Video files and cameras opened by PyAV, so that a file's name or its text reaches no other file
and no network.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from keras_kd._common.text import plain_reason
from keras_kd.errors import ConfigError, DataError, ModelError

# FFmpeg's readers of single files that cameras, phones and recorders write. Lists and scripts of
# other files (concat, hls, dash, image2) and sources without a file (lavfi, rtsp) are not among
# them.
FORMATS = (
    "mov,mp4,matroska,webm,avi,mpegts,mpeg,mpegvideo,h264,hevc,av1,obu,ivf,m4v,mjpeg,asf,flv,ogg,"
    "mxf,gif,dv,nut,rm,3gp,yuv4mpegpipe,mp3,aac,flac,wav"
)
# FFmpeg's decoders of what they write, and of lossless films. It has 300, many of old games. Sound
# is not decoded.
CODECS = (
    "h264,hevc,av1,libdav1d,vp8,vp9,libvpx,libvpx-vp9,mpeg4,msmpeg4v1,msmpeg4v2,msmpeg4,h263,"
    "h263i,h263p,flv,vp6,vp6f,wmv1,wmv2,wmv3,vc1,mpeg1video,mpeg2video,mpegvideo,mjpeg,"
    "dvvideo,prores,dnxhd,cfhd,theora,rv30,rv40,rawvideo,gif,png,qtrle,huffyuv,ffvhuff,ffv1,utvideo"
)
# avformat.h's AVFMT_TS_DISCONT: times may start again, so that a time does not identify a place in
# the file.
_TIMES_MAY_JUMP = 0x0200
_CAMERAS = {
    "linux": ("v4l2", "/dev/video{}"),
    "darwin": ("avfoundation", "{}:none"),
    "win32": ("dshow", "video={}"),
}


def opened_file(path: Path) -> Any:
    """Open a video file; nothing but its bytes is read.

    Raises:
        DataError: there is no such file, or it is no video that is read here.
        ModelError: PyAV isn't installed.
    """
    if not path.is_file():
        what = "is no regular file" if path.exists() else "is not there"
        raise DataError(f"{path} {what}: give the path of a video file.")
    options = {
        "protocol_whitelist": "file",
        "format_whitelist": FORMATS,
        # To find out what a stream is, FFmpeg decodes its beginning.
        "codec_whitelist": CODECS,
    }
    return _opened(f"file:{path.resolve()}", str(path), None, options)


def opened_camera(number: str) -> Any:
    """Open a camera by its number, on Windows by its name.

    Raises:
        ConfigError: Windows was given a number.
        DataError: there is no such camera.
        ModelError: PyAV isn't installed.
    """
    form, pattern = _CAMERAS.get(sys.platform, _CAMERAS["linux"])
    if sys.platform == "win32" and number.isdigit():
        raise ConfigError(
            "Windows names its cameras: give the name, as --camera 'Integrated Camera'."
        )
    advice = "connect it, close programs that use it, or give another --camera"
    return _opened(pattern.format(number), f"Camera {number}", form, {}, advice)


def _opened(
    source: str,
    name: str,
    form: str | None,
    options: dict[str, str],
    advice: str = "check it, copy it again, or save it as H.264 in mp4",
) -> Any:
    try:
        import av
    except ImportError as error:
        raise ModelError("Reading videos needs PyAV: pip install 'keras-kd[sessions]'.") from error
    try:
        return av.open(source, format=form, options=options)
    except (av.error.FFmpegError, OSError, UnicodeError, ValueError) as error:
        raise DataError(
            f"{name} can't be opened as a video ({plain_reason(error)}): {advice}."
        ) from error


def film(container: Any, name: str, camera: bool = False) -> Any:
    """Return the stream with the film: the default one, else the first, of those that are no cover
    picture.

    Args:
        container: the opened file or camera.
        name: what errors call it.
        camera: whether it is one, which every decoder may read.

    Raises:
        DataError: there is none, or it can't be decoded.
    """
    from av.stream import Disposition

    streams = _films(container)
    if not streams:
        raise DataError(f"{name} holds no video: check the file.")
    readable = [
        stream
        for stream in streams
        if stream.codec_context is not None
        and (camera or stream.codec_context.name in CODECS.split(","))
    ]
    if not readable:
        raise DataError(f"{name} is of a form that isn't decoded here: save it as H.264 in mp4.")
    return next(
        (stream for stream in readable if stream.disposition & Disposition.default), readable[0]
    )


def other_films(container: Any, chosen: Any) -> list[str]:
    """The sizes of the films beside the one that was chosen, as 640x480."""
    others = [stream for stream in _films(container) if stream.index != chosen.index]
    return [f"{stream.width}x{stream.height}" for stream in others]


def _films(container: Any) -> list[Any]:
    """The video streams that are no cover pictures."""
    from av.stream import Disposition

    pictures = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image
    return [stream for stream in container.streams.video if not stream.disposition & pictures]


def times_may_jump(container: Any) -> bool:
    """Whether the format's times may start again on the way."""
    return bool(container.format.flags & _TIMES_MAY_JUMP)
