"""Files of rows, as people bring them: CSV, JSON Lines and Parquet, read in bounded memory and checked by a schema.

`tailorbird check` and import jobs read by the same code, so that what the one takes the other takes.
"""

from common.data_files.files import DataFile
from common.data_files.folders import data_files, is_data_file
from common.data_files.reader import DataReader
from common.data_files.report import Problem, Report, import_failed

__all__ = ["DataFile", "DataReader", "Problem", "Report", "data_files", "import_failed", "is_data_file"]
