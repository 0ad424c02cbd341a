//! Reads the text form of job-shop instances: a line with the numbers of jobs and machines, then a line
//! for each job with pairs of machine (from 0) and duration. Lines that begin with `#` are comments.

use thiserror::Error;

use super::problem::{JOBS_MAX, Job, MACHINES_MAX, OPERATIONS_MAX, Operation, Problem};

/// Where a text is wrong, and how.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{name}:{line}:{column}: {message}")]
pub struct TextError {
    /// The file's name.
    pub name: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
}

/// A number with its place.
struct Word<'a> {
    line: usize,
    column: usize,
    text: &'a str,
}

/// Reads an instance; `name` stands in the errors.
///
/// # Errors
/// The first place that is wrong.
pub fn read(text: &str, name: &str) -> Result<Problem, TextError> {
    let error = |line, column, message: String| TextError { name: name.to_owned(), line, column, message };
    let number = |word: &Word<'_>, what: &str, range: std::ops::RangeInclusive<i64>| {
        let found = word.text.parse::<i64>().ok().filter(|n| range.contains(n));
        let (least, most) = (range.start(), range.end());
        let message = format!("{what} must be a whole number from {least} to {most}, not {:?}", word.text);
        found.ok_or_else(|| error(word.line, word.column, message))
    };
    let mut lines = text.lines().enumerate().filter_map(|(i, line)| {
        let words = words(i + 1, line);
        (!words.is_empty()).then_some((i + 1, line, words))
    });
    let past = |line: &str| line.chars().count() + 1;
    let Some((first_line, line, head)) = lines.next() else {
        return Err(error(
            1,
            1,
            "the file has no numbers; a line with jobs and machines comes first".to_owned(),
        ));
    };
    let [jobs, machines] = head.as_slice() else {
        let message = format!("the first line must have two numbers, jobs and machines, not {}", head.len());
        return Err(error(first_line, past(line), message));
    };
    let jobs = number(jobs, "jobs", 1..=limit(JOBS_MAX))?;
    let machines_most = number(machines, "machines", 1..=limit(MACHINES_MAX))?;
    let mut problem =
        Problem { machines: usize::try_from(machines_most).unwrap_or_default(), ..Problem::default() };
    let mut last = first_line;
    for (line_number, line, words) in lines {
        last = line_number;
        if limit(problem.jobs.len()) == jobs {
            return Err(error(
                line_number,
                1,
                format!("there are more lines than the {jobs} jobs of the first line"),
            ));
        }
        if words.len() % 2 == 1 {
            return Err(error(line_number, past(line), "a machine has no duration after it".to_owned()));
        }
        let mut job = Job::default();
        for pair in words.chunks(2) {
            let [machine, duration] = pair else { continue };
            let machine = number(machine, "a machine", 0..=machines_most - 1)?;
            let duration = number(duration, "a duration", 0..=super::problem::HORIZON_MAX)?;
            let machine = usize::try_from(machine).unwrap_or_default();
            job.operations.push(Operation { machine, duration, family: 0 });
        }
        problem.jobs.push(job);
        if problem.operations() > OPERATIONS_MAX {
            return Err(error(line_number, 1, format!("there are more than {OPERATIONS_MAX} operations")));
        }
    }
    if limit(problem.jobs.len()) < jobs {
        let message = format!("the file ends after {} of {jobs} jobs", problem.jobs.len());
        return Err(error(last, 1, message));
    }
    problem.check().map_err(|wrong| error(1, 1, wrong.to_string()))?;
    Ok(problem)
}

fn limit(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

fn words(line_number: usize, line: &str) -> Vec<Word<'_>> {
    if line.trim_start().starts_with('#') {
        return Vec::new();
    }
    let mut words = Vec::new();
    let mut rest = line;
    let mut column = 1;
    while !rest.is_empty() {
        let blank = rest.len() - rest.trim_start().len();
        column += rest.chars().take_while(|c| c.is_whitespace()).count();
        rest = rest.get(blank..).unwrap_or_default();
        let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
        let (text, after) = rest.split_at(end);
        if !text.is_empty() {
            words.push(Word { line: line_number, column, text });
            column += text.chars().count();
        }
        rest = after;
    }
    words
}
